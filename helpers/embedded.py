"""A finished run in one text: its records and each image's answers, inside the report, so that mailed reports can be compared again."""

import base64
import binascii
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from bs4 import BeautifulSoup, SoupStrainer
from pydantic import Field, ValidationError, model_validator

from helpers import files, redact, run_folders, scores
from helpers.errors import UserError
from helpers.records import Accuracy, Body, Data, Model, Record, Report, Sweep
from helpers.redact import Redaction
from helpers.scores import Scores

ID = "records"  # of the hidden element
LIMIT_BYTES = 64_000_000  # unpacked: 50,000 images take 0.7 MB a stage
MEMORY_BYTES = 64_000_000  # that a decompressor may ask for: ours takes 9 MB
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Answers(Body):
    """What one stage answered: places in the manifest, labels and most probable classes of N images."""

    image: list[Int32]
    label: list[Int32]
    answer: list[Int32]


class Content(Body):
    """What a report holds of its run; what no run of ours would say is no content."""

    version: Literal[1] = 1
    data: Data
    model: Model
    accuracy: Accuracy
    sweep: Sweep
    report: Report
    scores: dict[str, Answers]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        measured = [measured for series in self.sweep.series for row in series.rows for measured in row.regions.values()]
        figures = [end for one in measured for end in (one.images_per_second, *(one.interval_fps or ()))]
        evaluated = [result for result in self.accuracy.results if result.evaluated]
        columns = [(one.image, one.label, one.answer) for one in self.scores.values()]
        sound = (
            self.model.stages and self.accuracy.results and self.sweep.one("candidate"),
            all(figure > 0 for figure in figures),
            all(one.top1_interval_pct and 0 <= one.top1_pct <= 100 and one.images > 0 for one in evaluated),
            all(len(set(image)) == len(image) == len(label) == len(answer) for image, label, answer in columns),
        )
        if not all(sound):
            raise ValueError("this is the content of no run")
        return self


@dataclass(frozen=True)
class Run:
    """A finished run: its five records by kind, and by stage what each image was answered.

    Of the scores only image, label and the first column of `top5` are there, int32; `probability` has no columns. A stage whose
    answers were not kept is not among them.
    """

    records: dict[type[Record], Record]
    scores: dict[str, Scores]


def pack(folder: Path, identify: bool = False) -> str:
    """Return a finished run as base64 of xz of JSON, without places and names of its machine unless `identify`.

    Of more images than 64 MB of JSON hold, the records alone. UserError where a record is missing or of another version, where they
    were not made from each other, or where scores are not those of their record.
    """
    content = _of_folder(folder, identify)
    text = content.model_dump_json(by_alias=True).encode()
    if len(text) > LIMIT_BYTES:
        text = content.model_copy(update={"scores": {}}).model_dump_json(by_alias=True).encode()
    return base64.encodebytes(lzma.compress(text)).decode()


def unpack(page: Path) -> Run:
    """Return the run inside a report; UserError where there is none, where it is cut off or damaged, too large or of another version."""
    try:
        content = Content.model_validate_json(_json(page))
    except ValidationError:
        raise UserError(f"the records in {page.name} have another version's form: run 5_report of that run again.") from None
    return _run(content)


def of(path: Path) -> Run:
    """Return the run of a folder or of a report, the same of both; UserError as `pack` and `unpack`."""
    return _run(_of_folder(path, identify=False)) if path.is_dir() else unpack(path)


def _of_folder(folder: Path, identify: bool) -> Content:
    every = run_folders.finished(folder)
    found = {type(record).__name__.lower(): record.model_dump(mode="json", by_alias=True) for record in every}
    if not identify:
        hide = Redaction(str(folder.resolve()), [record["params"] for record in found.values()], hosts=redact.hosts(found))
        found = hide.everywhere(found, kept=WORDS)  # a host may be called as a word that the records are written with
    try:
        return Content(**found, scores=_answers(folder, every[2]))
    except ValidationError:
        raise UserError(f"the records of run {folder.name} have another version's form: run it again.") from None


def _words(schema: Any) -> frozenset[str]:
    """Return the words that fields of a schema may have."""
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = frozenset(schema.get("enum", ()) if isinstance(schema, dict) else ())
    return own.union(*map(_words, parts))


WORDS = _words(Content.model_json_schema())


def _answers(folder: Path, accuracy: Accuracy) -> dict[str, Answers]:
    """Return what is kept of the answers of every evaluated stage."""
    kept = {}
    for result in accuracy.results:
        path = folder / (result.scores_file or "")
        if not path.is_file():  # nothing was evaluated, or the run was pruned
            continue
        if files.sha256(path) != result.scores_sha256:
            raise UserError(f"{path.name} of run {folder.name} is not what accuracy.json was written for: run 3_accuracy of it again.")
        found = scores.load(path)
        columns = {"image": found.image, "label": found.label, "answer": found.answer}
        kept[result.stage] = Answers(**{name: column.tolist() for name, column in columns.items()})
    return kept


def _run(content: Content) -> Run:
    found = {stage: _scores(answers) for stage, answers in content.scores.items()}
    return Run({type(one): one for one in (content.data, content.model, content.accuracy, content.sweep, content.report)}, found)


def _scores(answers: Answers) -> Scores:
    image, label, answer = (np.array(column, np.int32) for column in (answers.image, answers.label, answers.answer))
    return Scores(image, label, answer[:, None], np.empty((len(image), 0), np.float32))


def _json(page: Path) -> bytes:
    """Return what is packed in a page, never more than LIMIT_BYTES."""
    try:
        text = page.read_text(encoding="utf-8") if page.stat().st_size <= LIMIT_BYTES else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    found = BeautifulSoup(text, "html.parser", parse_only=SoupStrainer(id=ID)).find(id=ID) if "<" in text else None
    if found is None:
        raise UserError(
            f"{page.name} holds no records of a run, or was cut off before them: give a whole report.html, or the run's folder."
        )
    packed = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES)
    try:
        content = packed.decompress(base64.b64decode("".join(found.text.split()), validate=True), max_length=LIMIT_BYTES + 1)
    except (binascii.Error, ValueError, lzma.LZMAError):
        content = b""
    if len(content) > LIMIT_BYTES:
        raise UserError(f"the records in {page.name} would take more than {LIMIT_BYTES // 1_000_000} MB: give the run's folder instead.")
    if not packed.eof:
        raise UserError(f"the records in {page.name} are cut off or damaged: get the file once more, or give the run's folder.")
    return content
