"""The whole chain: check the parameters, execute the notebooks, render HTML, give an exit code that a CI job can use.

Exit codes: 0 done, 1 a notebook failed or a gate was not met, 2 bad parameters.
"""

import argparse
import logging
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from helpers import ROOT, backends, compare, files, formats, html, index, params, records, steps, table_files
from helpers.ascend import HANG_LOGS, kit
from helpers.errors import ParameterError, UserError, why_it_died

NAMES = tuple(params.STEPS)
AWAY = {"backend": "onnxruntime", "provider": "auto", "provider_options": "{}", "precision": "auto"}  # a kit's device is elsewhere


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = _options(arguments)
    if options.compare:
        return _compare(*options.compare, options.output)
    try:
        chosen = _chosen(options)
        settings = params.read(options.params, {**dict(options.parameter), **(AWAY if options.kit else {})}, chosen)
        for target in (settings, *settings.options):
            backends.check(target)
    except UserError as error:
        print(f"{options.params}: {error}", file=sys.stderr)
        return 2
    folder = steps.folder(settings.run)
    if options.list:
        for name in NAMES:
            print(f"{name:16} {'done' if _is_current(name, settings, folder) else 'to do'}")
        return 0
    unfit = [name for name in NAMES[: NAMES.index(chosen[0])] if not _is_fit(name, settings, folder)]
    if unfit:
        print(f"{unfit[0]} was not run with these parameters: use --from {unfit[0][0]}.", file=sys.stderr)
        return 2
    try:
        files.make_folder(folder)
        if options.kit:
            kit.check_folder(options.kit)
        failed = next(filter(None, (_execute(name, settings, folder, options.force) for name in chosen)), 0)
        if ROOT / "reports" in folder.parents:
            index.write_index(ROOT / "reports")
        if options.kit and not failed:
            _write_kit(options, settings, folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if failed:
        return failed
    if "5_report" in chosen:
        print(f"report: {_shown(folder / 'report.html')}\n{steps.load(records.Report, folder).sentence}")
    return 0 if all(_gate_met(name, settings, folder) for name in chosen) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    others = (options.params, options.parameter, options.only, options.start, options.kit, options.force, options.list)
    if options.compare and any(others):
        parser.error("--compare takes two runs and -o, nothing else")
    if not options.compare and (options.output or not options.params):
        parser.error("-o is of --compare" if options.output else "PARAMS is missing: give a file such as params/demo.yaml")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers.run", description="Run the notebooks with a parameter file.")
    parser.add_argument("params", type=Path, nargs="?", metavar="PARAMS", help="a file such as params/demo.yaml")
    parser.add_argument(
        "-p", dest="parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="replaces a value of the file"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="N", help="run one notebook, by number or name")
    which.add_argument("--from", dest="start", metavar="N", help="run this notebook and those after it")
    which.add_argument("--kit", type=Path, metavar="DIR", help="run 1 and 2 here, write what a machine with CANN and ais_bench needs")
    parser.add_argument("--force", action="store_true", help="run also what is unchanged")
    parser.add_argument("--list", action="store_true", help="say which notebooks are done, run none")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="compare two finished runs: names, folders or report.html files")
    parser.add_argument("-o", dest="output", type=Path, metavar="FILE", help="where the comparison goes, by default below reports/")
    return parser


def _compare(a: str, b: str, output: Path | None) -> int:
    try:
        page, headline = compare.write(a, b, output)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"comparison: {_shown(page)}\n{headline}")
    return 0


def _chosen(options: argparse.Namespace) -> tuple[str, ...]:
    if options.kit:
        return NAMES[:2]
    if options.only:
        return (_named(options.only),)
    return NAMES[NAMES.index(_named(options.start)) :] if options.start else NAMES


def _named(text: str) -> str:
    found = [name for name in NAMES if text in (name, name.partition("_")[0])]
    if not found:
        raise ParameterError(f"there is no notebook {text}: choose one of {', '.join(NAMES)} or its number.")
    return found[0]


def _is_current(name: str, settings: params.Run, folder: Path) -> bool:
    """Return whether a step's record would come out the same and the executed notebook in the run folder is its own."""
    kind, executed = records.KINDS[NAMES.index(name)], folder / f"{name}.ipynb"
    if not executed.is_file() or not steps.is_current(kind, params.part(name, settings), folder):
        return False
    return executed.stat().st_mtime_ns >= (folder / kind.file_name()).stat().st_mtime_ns


def _is_fit(name: str, settings: params.Run, folder: Path) -> bool:
    """Return whether a step need not run before later ones: it is current, or was brought from another machine."""
    if _is_current(name, settings, folder):
        return True
    brought = steps.is_brought(records.KINDS[NAMES.index(name)], params.part(name, settings), folder)
    if brought:
        print(f"{name:16} made on another machine, taken as it is")
    return brought


def _write_kit(options: argparse.Namespace, settings: params.Run, folder: Path) -> None:
    data, model = (steps.load(kind, folder) for kind in (records.Data, records.Model))
    given = [word for name, value in options.parameter if name not in AWAY for word in ("-p", name, value)]
    size = kit.write(options.kit, folder, data, model, params.part("2_convert", settings), shlex.join([str(options.params), *given]))
    print(f"kit: {options.kit}, {formats.size(size)}; there: sh run.sh, and bring back results.tar.gz")


def _execute(name: str, settings: params.Run, folder: Path, force: bool) -> int:
    """Run one notebook unless its result is current, render its page, print its line; return the exit code it asks for."""
    executed, page = folder / f"{name}.ipynb", folder / f"{name.replace('5_', '')}.html"
    started = time.monotonic()
    if not force and _is_current(name, settings, folder):
        _render(executed, page, settings)
        print(f"{name:16} unchanged")
        return 0
    for stale in (records.KINDS[NAMES.index(name)].file_name(), page.name, executed.name, "report.json", "report.html"):
        (folder / stale).unlink(missing_ok=True)  # what fails must not leave an older result, nor a report of one
    for stale in (page, folder / "report.html"):
        table_files.remove(stale)
    for stale in (*(folder / "artefacts").glob(HANG_LOGS), *((folder / "artefacts").glob("*.partial") if force else ())):
        stale.unlink()
    if force and name == records.Accuracy.STEP:
        shutil.rmtree(folder / "artefacts" / "units", ignore_errors=True)  # that workers of an interrupted run did
    code, failure = _papermill(name, settings, executed)
    if executed.is_file():
        _render(executed, page, settings)
    print(f"{name:16} {time.monotonic() - started:6.1f} s{'  failed' if failure else ''}", flush=True)
    if failure:
        print(f"{failure}\nsee {_shown(page)}", file=sys.stderr)
    return code


def _render(executed: Path, page: Path, settings: params.Run) -> None:
    html.render(executed, page, settings.title if page.stem == "report" else "", settings.identify, settings.language)


def _papermill(name: str, settings: params.Run, executed: Path) -> tuple[int, str]:
    """Execute one notebook and return (exit code, why it failed); the notebook is kept as far as it came."""
    code, failure = 0, ""
    terminal = sys.stderr if sys.stderr.isatty() else None
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)  # ZeroMQ on a kernel that has just ended; what matters is raised
    with files.whole(executed) as temporary:
        try:
            papermill.execute_notebook(
                ROOT / "notebooks" / f"{name}.ipynb",
                temporary,
                parameters=params.part(name, settings).model_dump(mode="json"),
                progress_bar=False,
                extra_arguments=["--log-level=CRITICAL"],  # else every kernel warns that it speaks plain TCP on loopback
                stdout_file=terminal,  # estimates
                stderr_file=terminal,  # progress bars
            )
        except PapermillExecutionError as error:
            ours = error.ename in ("UserError", "ParameterError")
            failure = error.evalue if ours else f"{error.ename}: {error.evalue}"
            code = 2 if error.ename == "ParameterError" else 1
        except DeadKernelError:
            code, failure = 1, why_it_died(executed.parent / "artefacts")
    return code, failure


def _gate_met(name: str, settings: params.Run, folder: Path) -> bool:
    """Return whether a notebook's verdict is no FAIL, nor INCONCLUSIVE when the run is strict."""
    record = steps.load(records.KINDS[NAMES.index(name)], folder)
    verdict = "FAIL" if isinstance(record, records.Model) and record.refusal() else getattr(record, "verdict", "NONE")
    return verdict != "FAIL" and not (settings.strict and verdict == "INCONCLUSIVE")


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    logging.getLogger("papermill").setLevel(logging.ERROR)
    sys.exit(main())
