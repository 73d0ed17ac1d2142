"""The offline models of a run, one for each batch size or one with a gear for each: made by `atc`, or kept from an earlier run."""

import hashlib
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from helpers import files
from helpers.ascend import atc, npu_smi
from helpers.ascend.atc_options import Atc
from helpers.elements import Group, Sentence, Table, Text
from helpers.errors import UserError
from helpers.formats import size
from helpers.params import Convert
from helpers.preprocess import Preprocess
from helpers.records import Stage, TensorSpec

AIPP = """aipp_op {{
  aipp_mode: static
  related_input_rank: 0
  input_format: RGB888_U8
  src_image_size_w: {side}
  src_image_size_h: {side}
  crop: false
  csc_switch: false
  rbuv_swap_switch: {swap}
{channels}
}}
"""


@dataclass(frozen=True)
class Plan:
    """One offline model that a run needs."""

    name: str  # of the stage
    om: Path
    batches: list[int]  # one: static; several: gears
    aipp: bool


def make(artefacts: Path, onnx: Stage, settings: Convert, how: Preprocess) -> list[Stage]:
    """Return the stages of the run's offline models; each is converted unless ONNX file, flags and CANN are those of its last time.

    With AIPP one static model without it is made as well, at batch size 1, to compare with.
    """
    options = settings.atc
    if options.aipp and (how.layout, how.dtype) != ("NCHW", "float32"):
        raise UserError("atc.aipp is for a model that takes float32 NCHW: this one is given otherwise, leave aipp out.")
    soc = options.soc_version or npu_smi.chip(int(settings.provider_options.get("device_id", 0))).soc_version
    return [_make(plan, artefacts, onnx, soc, options, how) for plan in plans(artefacts, Path(onnx.file).name, settings)]


def plans(artefacts: Path, onnx_name: str, settings: Convert) -> list[Plan]:
    """Return which offline models a run needs, by the guide's names: conformer_base_bs8.om beside conformer_base_dynamicbs.onnx."""
    base, sizes = onnx_name.removesuffix(".onnx").removesuffix("_dynamicbs"), sorted({*settings.batch_sizes, settings.batch_size})
    options, plain = settings.atc, f"{base}_bs1.om"
    base = f"{base}_aipp" if options.aipp else base
    if options.gears and len(sizes) > 1:
        needed = [Plan("om, gears", artefacts / f"{base}_gears.om", sizes, options.aipp)]
    else:
        needed = [Plan(f"om, batch {batch}", artefacts / f"{base}_bs{batch}.om", [batch], options.aipp) for batch in sizes]
    return needed + ([Plan("om, batch 1, without AIPP", artefacts / plain, [1], aipp=False)] if options.aipp else [])


def aipp_config(how: Preprocess) -> str:
    """Return the text of an AIPP configuration that normalises as `how` says: out = (pixel - min_chn) * var_reci_chn.

    The model is given RGB bytes; one that was trained on BGR has them swapped first, so that mean and std follow its order.
    The integer mean_chn can't hold a fractional mean, min_chn can (vendor's AIPP template).
    """
    order = slice(None) if how.channel_order == "RGB" else slice(None, None, -1)
    channels = [f"  min_chn_{i}: {mean!r}" for i, mean in enumerate(how.mean[order])]
    channels += [f"  var_reci_chn_{i}: {1 / std!r}" for i, std in enumerate(how.std[order])]
    return AIPP.format(side=how.crop, swap=str(how.channel_order == "BGR").lower(), channels="\n".join(channels))


def pixels(how: Preprocess) -> Preprocess:
    """Return how the images are made for a model that normalises by itself: RGB bytes, height x width x channel."""
    return how.model_copy(update={"dtype": "uint8", "layout": "NHWC", "channel_order": "RGB"})


def stage(plan: Plan, onnx: Stage, soc: str, precision: str, **made: str | int | float | None) -> Stage:
    """Return the stage of an offline model; `made` has file, sha256, bytes, command and seconds."""
    batch, shape = plan.batches[0] if len(plan.batches) == 1 else None, onnx.input.shape[1:]
    axis: int | str = batch or "batch"
    given = TensorSpec(name="input", shape=[axis, *shape], dtype=onnx.input.dtype)
    return Stage(
        name=plan.name,
        format="om",
        input=TensorSpec(name="input", shape=[axis, *shape[1:], shape[0]], dtype="uint8") if plan.aipp else given,
        output=TensorSpec(name="probs", shape=[axis, onnx.output.shape[1]], dtype="float32"),
        precision=precision,
        soc=soc,
        batch=batch,
        gears=plan.batches if batch is None else [],
        aipp=plan.aipp,
        **made,
    )


def in_words(stages: list[Stage]) -> Group:
    """Return the offline models as a table, and what AIPP saves; what a backend without them runs is a sentence."""
    made = [stage for stage in stages if stage.format == "om"]
    if not made:
        return Group([Sentence("This backend runs the ONNX file as it is: there is nothing more to convert.")])
    rows = [
        [
            Path(stage.file).name,
            stage.batch or ", ".join(map(str, stage.gears)),
            stage.soc,
            stage.precision,
            stage.input.dtype,
            size(stage.bytes),
            None if stage.seconds is None else f"{stage.seconds:.1f}",
            (stage.sha256 or "")[:12],
        ]
        for stage in made
    ]
    headers = ["file", "batch", "chip", "precision", "input", "size", "seconds", "sha256 (first 12)"]
    aipp = next((stage for stage in made if stage.aipp), None)
    pixels = aipp.input.shape[1] * aipp.input.shape[2] * 3 if aipp else 0
    saved = f"With AIPP the device receives {pixels:,} bytes an image instead of {4 * pixels:,}, since it normalises them itself."
    commands = Text("\n".join(dict.fromkeys(stage.command for stage in made)))
    return Group([Table(headers, rows), commands, Sentence(saved) if aipp else None])


def _make(plan: Plan, artefacts: Path, onnx: Stage, soc: str, options: Atc, how: Preprocess) -> Stage:
    """Return the stage of one model, converted now or before."""
    config = artefacts / "aipp.cfg" if plan.aipp else None
    if config:
        files.write_text(config, aipp_config(how))
    shape = onnx.input.shape[1:]
    arguments = atc.command(artefacts / Path(onnx.file).name, plan.om, tuple(shape), plan.batches, options.flags(soc, config))
    shown = shlex.join(re.sub(r"=/.*/", "=", argument) for argument in arguments)  # by file names: a report is sent on
    cann = atc.cann_version()
    named = [path for argument in arguments[4:] if (path := Path(argument.partition("=")[2])).is_file()]  # by flags, model apart
    key = _key(onnx.sha256, shown, cann, *(files.sha256(path) for path in named))
    memo = plan.om.with_suffix(".om.json")
    seconds = _known(memo, plan.om, key)
    if seconds is None:
        seconds = atc.run(arguments, plan.om, plan.om.with_suffix(".log"), options)
        files.write_text(memo, json.dumps({"key": key, "seconds": round(seconds, 3), "sha256": files.sha256(plan.om)}))
    made = {"file": f"artefacts/{plan.om.name}", "sha256": files.sha256(plan.om), "bytes": plan.om.stat().st_size}
    return stage(plan, onnx, soc, options.precision, **made, command=f"{shown} (CANN {cann})", seconds=round(seconds, 3))


def _key(*parts: str | None) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _known(memo: Path, om: Path, key: str) -> float | None:
    """Return the seconds that a model took when it was made from the same; None when it must be made."""
    try:
        told = json.loads(memo.read_text())
        same = told["key"] == key and om.is_file() and files.sha256(om) == told["sha256"]
        return told["seconds"] if same else None
    except (OSError, ValueError, LookupError, TypeError):  # missing or damaged
        return None
