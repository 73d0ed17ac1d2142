"""Read what ais_bench, ais_infer and msame wrote, on whichever machine, and write the .bin files that they read.

One name stood for several tools: the summary moved from inside the result folder to beside it, results were named by number and
then by input, a last incomplete batch was dropped and later filled up. What a recording does not tell becomes a remark.
"""

import itertools
import math
import os
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from helpers.errors import UserError

FORMATS = {".bin": "BIN", ".npy": "NPY", ".txt": "TXT"}
NUMBER = r"(?:np\.float\d+\()?(\d+\.?\d*(?:[eE][-+]?\d+)?)\)?"  # as print writes it, and as NumPy 2 does
THROUGHPUT = re.compile(
    rf"throughput \(?1000\*batchsize(?:\.mean)?(?:\({NUMBER}\))?/NPU_compute_time(?:\.mean)?(?:\({NUMBER}\))?\)?\s*:\s*{NUMBER}", re.I
)
NAMED_BATCH = re.compile(r"(?<![A-Za-z])bs[_-]?([1-9]\d*)", re.I)
DEVICE = re.compile(r"device\d+(?:_\d+)?")  # the folder of one device in a run on several
TOP = 5
PURE = "pure_infer_data"  # stands for an input that was not given
Owner = list[str] | tuple[str, int]  # the images of a result file, or how it was numbered and its number


@dataclass(frozen=True)
class Timing:
    """One throughput measurement at one batch size."""

    batch: int
    execute_ms: tuple[float, ...]  # one for each execute, empty when only the mean was recorded
    mean_ms: float
    h2d_ms: float | None  # means, None when not recorded
    d2h_ms: float | None
    zero_input: bool  # pure inference
    source: str  # file, relative to the folder given
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """The results of one folder, image by image; those of images that this run does not have are only counted, in a remark."""

    batch: int | None
    format: Literal["BIN", "NPY", "TXT"]
    probabilities: dict[str, np.ndarray]  # stem of the input file -> float32 [classes]
    source: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Recording:
    """All that a folder holds: timings by batch size, answers by folder."""

    timings: tuple[Timing, ...]
    answers: tuple[Answers, ...]
    simulated: bool


class _Read(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _Mean(_Read):
    mean: float


class _Sample(_Read):
    infiles: list[str] = []
    outfiles: list[str] = []


class _Summary(_Read):
    """What is used of sumary.json and *_summary.json."""

    NPU_compute_time: _Mean | None = None  # None: some other tool's summary
    H2D_latency: _Mean | None = None
    D2H_latency: _Mean | None = None
    npu_compute_time_list: list[float | tuple[float, float]] = []
    throughput: float | None = None
    filesinfo: dict[str, _Sample] = {}
    args: list[str] = []
    simulated: Any = False

    @property
    def zero_input(self) -> bool:
        """Return whether the model was given no file."""
        listed = any(not _base(name).startswith(PURE) for sample in self.filesinfo.values() for name in sample.infiles)
        return not listed and _option(self.args, "--input", "-i") is None

    def batches(self) -> list[int]:
        """Return the batch sizes that the command line tells, first the one to believe."""
        model = NAMED_BATCH.search(_base(_option(self.args, "--model", "-m", "--om", "-om", "--om-model") or ""))
        told = (_option(self.args, "--batchsize", "--batch-size"), model and model[1], _option(self.args, "--dymBatch", "--dym-batch"))
        return [int(number) for number in told if number and re.fullmatch(r"0*[1-9]\d*", number)]

    def results(self) -> dict[str, list[str]]:
        """Return name of a first output -> stems of the images in it; paths are those of another machine."""
        listed = {}
        for sample in self.filesinfo.values():
            names = [_base(name) for name in sample.outfiles]
            listed |= {name: [_base(image).partition(".")[0] for image in sample.infiles] for name in names if re.search(r"_0\.\w+$", name)}
        return listed


@dataclass(frozen=True)
class _Found:
    """A measurement as one file tells it; its batch size, 0 until it is known, may stand in another."""

    timing: Timing
    name: str  # that the log of a run shares with its summary; empty where it is not one run's
    throughput: float | None
    summary: _Summary

    def is_of(self, other: "_Found") -> bool:
        """Return whether both are the same measurement."""
        if self.timing.batch != other.timing.batch and self.timing.batch and other.timing.batch:
            return False
        same_name = self.name != "" and self.name == other.name
        return same_name or math.isclose(self.timing.mean_ms, other.timing.mean_ms, rel_tol=1e-6)


@dataclass
class _Tree:
    """The files of a folder by what they are; links are not followed."""

    root: Path
    summaries: dict[Path, tuple[Path, _Summary]] = field(default_factory=dict)  # result folder -> file and content
    texts: dict[Path, str] = field(default_factory=dict)  # logs and other texts that are no results
    results: dict[Path, list[str]] = field(default_factory=dict)  # folder -> names of files that may be results

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def named_batch(self, path: Path) -> int:
        """Return the batch size in a name, the file's or that of the nearest folder; 0 where there is none."""
        parts = (self.root.resolve().name, *path.relative_to(self.root).parts)
        found = [match for match in map(NAMED_BATCH.search, parts) if match]
        return int(found[-1][1]) if found else 0


def read(folder: Path, classes: int, stems: list[str]) -> Recording:
    """Return what a folder holds of throughput and of answers, `classes` values for each image of `stems`.

    A file that can't be what its name says, values that are not finite, a batch size that is told nowhere and results of none but
    other images are UserErrors; a folder that holds neither timings nor answers is not.
    """
    try:
        tree = _scan(folder)
        answers = _answers(tree, classes, stems)
    except OSError as error:
        raise UserError(f"{folder.name} can't be read ({error.strerror}): give the folder that ais_bench wrote.") from error
    simulated = any(summary.simulated is True for _, summary in tree.summaries.values())
    simulated |= any(re.search(r"\bsimulated\b", text, re.I) for path, text in tree.texts.items() if _describes_run(path, text))
    return Recording(tuple(_timings(tree)), tuple(answers), simulated)


def stems(names: list[str]) -> list[str]:
    """Return a file stem for each image: its name up to the first dot, or image_00000001 and so on by position.

    Numbers are used where newer releases would refuse a character, or two images in different folders have one name.
    """
    own = [name.rpartition("/")[2].partition(".")[0] for name in names]
    if len(set(own)) == len(own) and all(re.fullmatch(r"[A-Za-z0-9_-]+", stem) for stem in own):
        return own
    return [f"image_{number:08d}" for number in range(1, len(names) + 1)]


def write_bin(folder: Path, stems: list[str], batches: Iterable[np.ndarray]) -> None:
    """Write `<stem>.bin` for each image of the batches [B, ...]: its values in C order, no batch axis, the dtype as it is.

    The tools read every .bin and .npy of a folder, so others in it are a UserError; so is a full disk. Newer releases refuse links
    and what others may write: folder 750, files 640.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o750)
        expected = {f"{stem}.bin" for stem in stems}
        others = {name for name in os.listdir(folder) if name.lower().endswith((".bin", ".npy"))} - expected
        if others:
            raise UserError(f"{folder.name} holds {min(others)}, which is not of this run but would be read with it: remove the folder.")
        images = (image for batch in batches for image in batch)
        for stem, image in zip(stems, images, strict=True):
            path = folder / f"{stem}.bin"
            path.unlink(missing_ok=True)  # a link would be written through
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
                os.fchmod(file.fileno(), 0o640)
                file.write(np.ascontiguousarray(image).data)
    except OSError as error:
        raise UserError(f"can't write {folder.name}: {error.strerror}; free space or choose another run folder.") from error


def _scan(root: Path) -> _Tree:
    """Return the files of a folder and of those below it, one listing for each."""
    tree, folders = _Tree(root), [root]
    while folders:
        folder = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                folders.append(folder / entry.name)
            elif entry.is_file(follow_symlinks=False):
                _sort(tree, folder, entry.name)
    return tree


def _sort(tree: _Tree, folder: Path, name: str) -> None:
    """Put a file where it belongs; what is neither summary nor text nor result is left out."""
    suffix = os.path.splitext(name)[1].lower()
    if name == "sumary.json" or name.endswith("_summary.json"):
        of = folder if name == "sumary.json" else folder / name.removesuffix("_summary.json")
        try:
            tree.summaries[of] = folder / name, _Summary.model_validate_json((folder / name).read_bytes())
        except ValidationError as error:
            what = f"{tree.relative(folder / name)} can't be read as a summary of ais_bench"
            raise UserError(f"{what} ({error.errors()[0]['msg']}): copy it again or take it out of the folder.") from error
    if suffix in (".log", ".txt"):
        text = _text(folder / name)
        if text is not None:
            tree.texts[folder / name] = text
    if suffix in FORMATS:
        tree.results.setdefault(folder, []).append(name)


def _text(path: Path) -> str | None:
    """Return the text of a file, None when it begins with numbers and thus is a result."""
    with path.open("rb") as file:
        head = file.read(64)
        words = head.split()
        try:
            [float(word) for word in words[:-1] or words]  # the last may be cut off
        except ValueError:
            return (head + file.read()).decode(errors="replace")
        return None


def _timings(tree: _Tree) -> list[Timing]:
    """Return each measurement once: a log of a run whose summary is there tells at most its batch size."""
    logs = [found for path, text in tree.texts.items() for found in _from_log(tree, path, text)]
    names = Counter(log.name for log in logs)
    logs = [replace(log, name="" if names[log.name] > 1 else log.name) for log in logs]
    kept = []
    for folder, (path, summary) in tree.summaries.items():
        if summary.NPU_compute_time is not None:
            found = _from_summary(tree, folder, path, summary)
            batch = found.timing.batch or next((log.timing.batch for log in logs if log.is_of(found)), 0)
            kept.append(replace(found, timing=replace(found.timing, batch=batch)))
    for log in logs:
        if not any(log.is_of(other) for other in kept):
            kept.append(log)
    return sorted(map(_checked, kept), key=lambda timing: (timing.batch, timing.source))


def _from_summary(tree: _Tree, folder: Path, path: Path, summary: _Summary) -> _Found:
    recorded = summary.NPU_compute_time.mean
    times = tuple(time[1] - time[0] if isinstance(time, tuple) else time for time in summary.npu_compute_time_list)
    mean = statistics.fmean(times) if times else recorded
    paired = any(isinstance(time, tuple) for time in summary.npu_compute_time_list)
    if _count(summary.args, "--threads") > 1 or (paired and mean > 1.01 * recorded > 0):  # executes overlap; not so in the recorded mean
        times, mean = (), recorded
    to_device, to_host = ((copies and copies.mean) or None for copies in (summary.H2D_latency, summary.D2H_latency))
    batch = next(iter(summary.batches()), 0) or tree.named_batch(path)
    timing = Timing(batch, times, mean, to_device, to_host, summary.zero_input, tree.relative(path), ())
    return _Found(timing, folder.name, summary.throughput, summary)


def _from_log(tree: _Tree, path: Path, text: str) -> Iterator[_Found]:
    """Yield a measurement for each throughput line: three wordings, the first without the figures it was made from."""
    lines, start, told = list(THROUGHPUT.finditer(text)), 0, ""
    alone = len(lines) == 1
    for line in lines:
        part, start = text[start : line.start()], line.end()
        told = part if "load model" in part else told + part  # devices that run at once load before the first of them is done
        mean, to_device, to_host = (
            float(_last(rf"{name} \(ms\):.*?\bmean = {NUMBER}", part) or 0) for name in ("NPU_compute_time", "H2D_latency", "D2H_latency")
        )
        model = NAMED_BATCH.search(_last(r"([^\s\"'=:,/]+\.om)\b", told) or "")
        printed = float(line[1] or _last(rf"try get model batchsize:{NUMBER}", told) or 0)
        batch = int(model[1]) if model else (tree.named_batch(path) if alone else 0) or (int(printed) if printed.is_integer() else 0)
        is_zero = "get filesperbatch" not in told
        mean = float(line[2] or mean)
        timing = Timing(batch, (), mean, to_device or None, to_host or None, is_zero, tree.relative(path), ())
        yield _Found(timing, path.stem if alone else "", float(line[3]), _Summary())


def _checked(found: _Found) -> Timing:
    """Return the timing with its remarks, UserError where time or batch size are told nowhere."""
    timing = found.timing
    if not timing.mean_ms > 0:
        raise UserError(f"{timing.source} tells no NPU_compute_time: measure again, or take the file out of the folder.")
    if not timing.batch:
        raise UserError(f"{timing.source} does not tell its batch size: put it into the name of the file or its folder, such as bs8.")
    return replace(timing, remarks=tuple(_timing_remarks(timing, found)))


def _timing_remarks(timing: Timing, found: _Found) -> Iterator[str]:
    summary, batch, told = found.summary, timing.batch, found.summary.batches()
    if not timing.execute_ms and summary.npu_compute_time_list:
        yield "Executes ran at once in several threads, hence there is no time of a single one and the mean is not one thread's."
    elif not timing.execute_ms:
        yield "Only the mean was recorded, hence the throughput has no interval."
    if len(set(told)) > 1:
        yield f"The command tells batch size {told[0]} and also {told[-1]}: {batch} is used."
    fps = 1000 * batch / timing.mean_ms
    if found.throughput is not None and abs(found.throughput - fps) > 0.01 * fps:
        yield (
            f"The recorded throughput, {found.throughput:.2f}, is not that of batch size {batch} in {timing.mean_ms:.3f} ms, {fps:.2f}, "
            "which is used: early releases take batch size 1 when --batchsize is left out."
        )
    images, calls = len(summary.filesinfo), math.ceil(len(summary.filesinfo) / batch)
    executes = calls * _count(summary.args, "--loop", "-l", "-r")
    if images % batch and len(summary.npu_compute_time_list) == executes and not timing.zero_input:
        copies = calls * batch - images
        yield f"The last batch of {images} inputs was filled up with {copies} copies, which count as images in the throughput."


def _answers(tree: _Tree, classes: int, stems: list[str]) -> list[Answers]:
    """Return the answers of each folder and format; the folders of several devices are one."""
    order = sorted(sorted(stems), key=lambda stem: _natural(f"{stem}.bin"))
    groups: dict[tuple[Path, str], list[Path]] = {}
    for folder in sorted(tree.results, key=lambda folder: _natural(str(folder))):
        top = folder.parent if DEVICE.fullmatch(folder.name) and folder != tree.root else folder
        for suffix in sorted({os.path.splitext(name)[1].lower() for name in tree.results[folder]}):
            groups.setdefault((top, suffix), []).append(folder)
    found, foreign = [], set()
    for (top, suffix), folders in groups.items():
        merged = _Merged(order)
        for folder in folders:
            for path, owner in _owners(tree, folder, suffix, set(order)):
                merged.add(path, tree.relative(path), owner, classes)
        foreign |= merged.foreign
        if merged.probabilities:
            batch = next(filter(None, (_batch_of_results(tree, folder) for folder in folders)), None)
            remarks = tuple(merged.remarks(batch, suffix))
            found.append(Answers(batch, FORMATS[suffix], merged.probabilities, tree.relative(top), remarks))
    if foreign and not found:
        theirs = f"{min(foreign)} for one, where this run has {order[0] if order else 'none'}"
        raise UserError(f"{tree.root.name} holds results of other images ({theirs}): take the images that were recorded.")
    return found


class _Merged:
    """The answers of the result files of one group, and what was odd about them."""

    def __init__(self, order: list[str]):
        self.order, self.known = order, set(order)  # natural order, in which the tools take their inputs
        self.plain = sorted(order, key=lambda stem: f"{stem}.bin")  # in which the release that wrote sample_id_<n> took them
        self.probabilities: dict[str, np.ndarray] = {}
        self.foreign: set[str] = set()
        self.differing: set[str] = set()
        self.by_number = False

    def add(self, path: Path, source: str, owner: Owner, classes: int) -> None:
        """Take the rows of a file that is of the images named, or of the n-th rows of all."""
        if isinstance(owner, list) and not self.known.intersection(owner):
            self.foreign.update(owner)
            return
        rows = _rows(path, source, classes)
        if isinstance(owner, tuple):
            self.by_number = True
            order = self.plain if owner[0] == "sample_id_" else self.order
            numbers = range(owner[1] * len(rows), (owner[1] + 1) * len(rows))
            images = [order[number] if number < len(order) else f"number {number}" for number in numbers]
        else:
            images = owner[:1] if len(rows) == 1 else owner  # a model of several inputs has a file for each
        if len(images) != len(rows):
            raise _wrong(source, f"{rows.size} values", classes * len(images))
        for image, row in zip(images, rows, strict=True):
            if image not in self.known:
                self.foreign.add(image)
            elif not np.array_equal(self.probabilities.setdefault(image, row), row):
                self.differing.add(image)

    def remarks(self, batch: int | None, suffix: str) -> Iterator[str]:
        """Yield a sentence for each way in which the answers are less than they seem."""
        images, missing = len(self.order), [stem for stem in self.order if stem not in self.probabilities]
        last = any(set(order[images - len(missing) :]) == set(missing) for order in (self.order, self.plain))
        if missing and last and len(missing) < min(batch or images, images):
            why = "as when an early release drops an incomplete batch"
            yield f"The last {len(missing)} of {images} images have no result, {why}: accuracy is over the others."
        elif missing:
            yield f"{len(missing)} of {images} images have no result (first: {missing[0]}): accuracy is over the others."
        if self.foreign:
            yield f"{len(self.foreign)} results are of images that this run does not have (first: {min(self.foreign)}): they are left out."
        if self.differing:
            first = min(self.differing)
            yield f"{len(self.differing)} images were answered differently by the devices (first: {first}): the first answer is kept."
        if self.by_number and self.order != self.plain:
            yield "Results have numbers instead of names, and releases differ in whether image_10 comes before image_2: keep sumary.json."
        few = sum(np.count_nonzero(row) < min(TOP, len(row)) for row in self.probabilities.values())
        if suffix == ".txt" and few:
            yield (
                f"TXT keeps six decimals, so that probabilities below 5e-7 are zero: {few} of {len(self.probabilities)} images have fewer "
                f"than {TOP} others and thus an arbitrary top-{TOP}."
            )


def _owners(tree: _Tree, folder: Path, suffix: str, known: set[str]) -> Iterator[tuple[Path, Owner]]:
    """Yield (result file, the images it is of) as the summary lists them, else by name; further outputs are left out."""
    names = [name for name in tree.results[folder] if name.lower().endswith(suffix)]
    listed = tree.summaries[folder][1].results() if folder in tree.summaries else {}
    if any(name in listed for name in names):
        owned = {name: listed[name] for name in names if listed.get(name) and not listed[name][0].startswith(PURE)}
    else:
        owned = {name: owner for name in names if (owner := _owner(os.path.splitext(name)[0], known)) is not None}
    for name, owner in owned.items():
        is_note = folder / name in tree.texts and not (isinstance(owner, list) and known.intersection(owner))
        if not is_note:
            yield folder / name, owner


def _owner(name: str, known: set[str]) -> Owner | None:
    """Return the image that a result is of by its file name: its stem, or its number in early releases; None for other files.

    <stem>_0 is of ais_bench, <stem>_output_0 of msame, sample_id_<n>_output_0 and input<n>_output_0 of early ais_infer.
    """
    stem, _, output = name.rpartition("_")
    if output != "0" or name.startswith(PURE) or (name in known and stem not in known):  # the last is an input
        return None
    image = stem.removesuffix("_output")
    if stem in known or image == stem:
        return [stem]
    numbered = re.fullmatch(r"(sample_id_|input)(\d+)", image)
    return (numbered[1], int(numbered[2])) if numbered and image not in known else [image]


def _rows(path: Path, source: str, classes: int) -> np.ndarray:
    """Return the values of a result file, float32 [rows, classes]."""
    held = ""
    try:
        if path.suffix.lower() == ".bin":
            content = path.read_bytes()
            held = f"{len(content)} bytes"
            values = np.frombuffer(content, "<f4") if len(content) % 4 == 0 else np.empty(0)
        elif path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
            held = f"{values.dtype} {list(values.shape)}"
            values = values.astype(np.float32) if values.dtype.kind == "f" and values.shape[-1:] == (classes,) else np.empty(0)
        else:
            values = np.array(path.read_text().split(), np.float32)
            held = f"{len(values)} values"
    except (ValueError, EOFError, AttributeError) as error:  # not numbers; cut off; an archive of arrays
        raise UserError(f"{source} is damaged ({error}): copy it again.") from error
    if values.size == 0 or values.size % classes:
        raise _wrong(source, held, classes)
    if not np.isfinite(values).all():
        raise UserError(f"{source} holds values that are not finite: convert the model with a higher precision and record again.")
    return values.reshape(-1, classes)


def _wrong(source: str, held: str, values: int) -> UserError:
    expected = f"{values} values of float32, {4 * values} bytes, were expected"
    return UserError(f"{source} holds {held} where {expected}: record with this run's model, or take the file out of the folder.")


def _batch_of_results(tree: _Tree, folder: Path) -> int | None:
    path, summary = tree.summaries.get(folder, (folder, _Summary()))
    return next(iter(summary.batches()), None) or tree.named_batch(path) or None


def _describes_run(path: Path, text: str) -> bool:
    return path.suffix.lower() == ".log" or path.name.lower().startswith("environment") or THROUGHPUT.search(text) is not None


def _option(arguments: list[str], *names: str) -> str | None:
    """Return the value of an option in a command line, `--a b` or `--a=b`; None when it is not given."""
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else following or ""
    return None


def _count(arguments: list[str], *names: str) -> int:
    """Return the value of an option that counts; 1, its default, when it is not given."""
    value = _option(arguments, *names) or "1"
    return int(value) if value.isdigit() else 1


def _last(pattern: str, text: str) -> str | None:
    return next(reversed(re.findall(pattern, text)), None)


def _base(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _natural(name: str) -> list[int | str]:
    """Return the sort key with which the tools order their inputs."""
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(re.split(r"([0-9]+)", name))]
