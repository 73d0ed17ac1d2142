"""Two finished runs, A and B, on one page: what changed, is it the same model, is it as accurate, is it as fast."""

import re
from pathlib import Path

import nbformat

from helpers import ROOT, changes, comparable, compare_accuracy, compare_speed, embedded, files, formats, html, table_files
from helpers.comparable import Unlike
from helpers.compare_accuracy import Difference
from helpers.compare_speed import Speed
from helpers.elements import Group, KeyFigures, Sentence, Table
from helpers.embedded import Run
from helpers.errors import UserError
from helpers.records import Accuracy, Data, Model, Report, Sweep
from helpers.redact import Redaction

REPORTS = ROOT / "reports"


def write(a: str, b: str, page: Path | None = None) -> tuple[Path, str]:
    """Write the comparison of two runs, each a name below reports/, a run's folder or a report.html, and return its page and headline.

    By default reports/compare_<a>_<b>.html. Its tables are written too. UserError where one is no run, or where the page would replace
    one of the reports.
    """
    paths = [find(one) for one in (a, b)]
    runs = [embedded.of(path) for path in paths]
    page = page or REPORTS / f"compare_{'_'.join(map(_called, paths))}.html"
    if page.resolve() in (path.resolve() for path in paths):
        raise UserError(f"{page.name} is one of the reports to compare: give -o another name.")
    unlike = comparable.of(*runs)
    accuracy, speed = compare_accuracy.difference(*runs, unlike), compare_speed.ratio(*runs, unlike)
    said = headline(unlike, accuracy, speed)
    files.write_text(page, _page(*runs, unlike, accuracy, speed, said))
    table_files.write(page)
    return page, formats.visible(said.text)


def find(given: str) -> Path:
    """Return the folder of a run or the file of a report, by a name below reports/ or a path; UserError when there is none."""
    try:
        found = next((path for path in (REPORTS / given, Path(given)) if given and path.exists()), None)
    except OSError:  # a name too long for the system
        found = None
    if found is None:
        raise UserError(f"there is no run {given!r}: give the name of a folder below reports/, a run's folder or its report.html.")
    return found


def _called(path: Path) -> str:
    """Return the name of a run's folder, with those above it below reports/, or of a report."""
    path = path.resolve()
    folder = path if path.is_dir() else path.parent if path.name == "report.html" else path.with_suffix("")
    return _slug(folder.relative_to(REPORTS).as_posix() if REPORTS in folder.parents else folder.name)


def headline(unlike: Unlike, accuracy: Difference | None, speed: Speed | None) -> Sentence:
    """Return the comparison in one sentence; what can't be compared comes first, and has no figure."""
    if unlike.whole:
        return Sentence(f"Not comparable: {'; '.join(unlike.whole)}.", "warning")
    parts = [(unlike.in_accuracy, "accuracy"), (unlike.in_speed, "speed")]
    against = [f"{name} ({' and '.join(reasons)})" for reasons, name in parts if reasons]
    told = [] if unlike.in_accuracy else [compare_accuracy.headline(accuracy)]
    told += [compare_speed.headline(speed)] if speed else []
    sentence = f"B {', and '.join(told)}." if told else ""
    if against:
        return Sentence(f"Not comparable: {', '.join(against)}. {sentence}".rstrip(), "warning")
    verdict = accuracy.paired.verdict if accuracy.paired else "INCONCLUSIVE"
    level = {"WORSE": "fail", "INCONCLUSIVE": "inconclusive"}.get(
        verdict, "inconclusive" if speed.word == "unclear" or speed.noisy else "pass"
    )
    return Sentence(sentence, level)


def _page(a: Run, b: Run, unlike: Unlike, accuracy: Difference | None, speed: Speed | None, said: Sentence) -> str:
    sections = {
        "# Two runs, compared": _first_screen(a, b, unlike, accuracy, speed, said),
        "## What changed?": changes.table(a, b),
        "## Is it the same model?": changes.links(a, b),
        "## Is it as accurate?": compare_accuracy.shown(a, b, accuracy, unlike),
        "## Is it as fast?": compare_speed.shown(a, b, speed, unlike),
    }
    notebook = nbformat.v4.new_notebook()
    for heading, element in sections.items():
        output = nbformat.v4.new_output("display_data", data={"text/html": element._repr_html_()})
        name = _slug(heading.lower())
        cell = nbformat.v4.new_code_cell("", id=name, outputs=[output], metadata={"tags": ["hide"]})
        notebook.cells += [nbformat.v4.new_markdown_cell(heading, id=f"{name}_heading"), cell]
    title = " and ".join(run.records[Report].run for run in (a, b))
    return Redaction().page(html.export(notebook, f"{title}, compared", "Two runs, compared. This page holds no script and loads nothing."))


def _first_screen(a: Run, b: Run, unlike: Unlike, accuracy: Difference | None, speed: Speed | None, said: Sentence) -> Group:
    same = a.records[Report].fingerprint == b.records[Report].fingerprint
    figures = [("top-1, B less A", *_points(accuracy, unlike)), ("speed, B over A", *_ratio(speed, unlike))]
    rows = [[name, *values] for name, *values in zip(WHAT, _about(a), _about(b), strict=True)]
    named = [f"{letter} is run {run.records[Report].run}" for letter, run in (("A", a), ("B", b))]
    return Group(
        [
            said,
            Sentence(f"{'; '.join(named)}."),
            Sentence("A and B are one and the same run.", "warning") if same else None,
            KeyFigures(figures),
            Table(["what", "A", "B"], rows),
        ]
    )


def _points(found: Difference | None, unlike: Unlike) -> tuple[str, str]:
    if found is None or unlike.in_accuracy:
        return "none", "; ".join(unlike.in_accuracy)
    how = "on the same images" if found.paired else "unpaired"
    interval = f"95 % interval {found.interval[0]:+.2f} to {found.interval[1]:+.2f}"
    return f"{found.points:+.2f} points", f"{interval}, {formats.counted(found.images, 'image')}, {how}"


def _ratio(found: Speed | None, unlike: Unlike) -> tuple[str, str]:
    if found is None:
        return "none", "; ".join(unlike.in_speed)
    known = f"95 % interval {' to '.join(map(formats.times, found.interval))}" if found.interval else "too noisy for an interval"
    return (
        f"{formats.times(found.mean)} ×",
        f"{known}, {found.region} time, {formats.counted(len(found.ratios), 'batch size')}, not measured in turns",
    )


WHAT = ["run", "title", "made", "model", "images", "what ran", "device", "precision", "top-1", "best FPS", "its own verdict"]


def _about(run: Run) -> list[object]:
    """Return what a run is, in the order of WHAT."""
    report, data, model, sweep = (run.records[kind] for kind in (Report, Data, Model, Sweep))
    candidate, top1 = sweep.one("candidate"), run.records[Accuracy].results[0].top1_pct
    figures = [(row.regions[sweep.region], row.batch) for row in candidate.rows if sweep.region in row.regions]
    best, batch = max(figures, key=lambda figure: figure[0].images_per_second, default=(None, None))
    return [
        report.run,
        report.title,
        report.created_utc[:16].replace("T", " "),
        f"{model.name}, {formats.counted(model.classes, 'class', 'classes')}",
        f"{data.images:,} of {data.source}",
        f"{candidate.backend}, {candidate.kind}",
        candidate.device,
        candidate.precision,
        None if top1 is None else f"{top1:.2f} %",
        f"{formats.fps(best)} at batch {batch}, {sweep.region} time" if best else None,
        report.verdict.replace("NONE", "none"),
    ]


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:60] or "run"
