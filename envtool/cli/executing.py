"""The commands that execute notebooks: `notebook run` and `notebook verify`."""

import os
from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.render import plural
from envtool.cli.session import Session, working_directory
from envtool.cli.terminal import duration_text
from envtool.errors import EnvtoolError
from envtool.formats.printable import printable

if TYPE_CHECKING:
    from envtool.kernel.headless.preparing import Wanted
    from envtool.kernel.headless.running import NotebookRun
    from envtool.kernel.headless.verifying import Verified
    from envtool.machine.project import Project

__all__ = ["add_commands"]


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands below `notebook`."""
    _add_run(family)
    _add_verify(family)


def _add_run(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "run",
        _run_notebooks,
        summary="execute notebooks from top to bottom",
        text="""
        Realises what each notebook declares, executes its cells in a kernel of that environment,
        and writes the executed notebook beside it as NAME.executed.ipynb: with the lock, the
        closure that made the outputs, and the time and memory that each cell took.
        """,
        examples=[
            ("envtool notebook run plot.ipynb", ""),
            ("envtool notebook run plot.ipynb --output out.ipynb", ""),
            (
                "envtool notebook run --jobs 4 --output results *.ipynb",
                "into a folder, four at once",
            ),
            (
                "envtool notebook run --isolated --no-network plot.ipynb",
                "with what it declares alone",
            ),
            ("envtool notebook run -p alpha 0.3 -p lake Ladoga plot.ipynb", "with parameters"),
        ],
    )
    _take_notebooks(parser)
    output = parser.add_argument(
        "--output", metavar="PATH", help="where the executed one goes, or the folder for several"
    )
    completed_by(output, "files")
    parser.add_argument("--in-place", action="store_true", help="put outputs into the notebooks")
    parser.add_argument(
        "-p",
        "--parameter",
        metavar=("NAME", "VALUE"),
        nargs=2,
        action="append",
        default=[],
        help="assign a value behind the cell that is tagged `parameters`",
    )
    file = parser.add_argument(
        "--parameters", metavar="FILE", help="parameters from a file, TOML or .json"
    )
    completed_by(file, "files")


def _add_verify(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "verify",
        _run_verify,
        summary="run notebooks again and compare their outputs",
        text="""
        Executes each notebook once more in the closure that made its outputs and compares cell by
        cell: text exactly, numbers within --tolerance, images (PNG, JPEG, GIF, WebP) as an eye
        would, SVG without names by lot. Cells tagged `varies` are not compared. Nothing is
        written; the exit code is 1 when an output differs.
        """,
        examples=[
            ("envtool notebook verify plot.executed.ipynb", ""),
            ("envtool notebook verify --tolerance 0.001 *.executed.ipynb", "numbers to 0.1 %"),
        ],
    )
    _take_notebooks(parser)
    parser.add_argument(
        "--tolerance",
        metavar="X",
        type=_share,
        default=1e-6,
        help="by which numbers may differ, relative (default: 1e-6)",
    )
    parser.add_argument(
        "--image-tolerance",
        metavar="X",
        type=_share,
        default=0.05,
        help="by which the mean of 8 by 8 pixels may, of 1; 0: the same pixels (default: 0.05)",
    )


def _take_notebooks(parser: Parser) -> None:
    notebooks = parser.add_argument("notebooks", metavar="NB", nargs="+", help="a notebook")
    completed_by(notebooks, "files")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_count,
        help="longest time for one cell (default: none)",
    )
    parser.add_argument(
        "-j", "--jobs", metavar="N", type=_count, default=1, help="notebooks at once (default: 1)"
    )
    parser.add_argument(
        "--isolated",
        action="store_true",
        help="cells see the closure, the notebook's folder and a private /tmp, nothing else",
    )
    parser.add_argument("--no-network", action="store_true", help="cells have no network")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise ArgumentTypeError(f"expected a number from 0, such as 0.001, not {text!r}")
    return share


def _projects(session: Session, arguments: Namespace) -> "list[Project]":
    if session.options.file is not None:
        raise UsageError(f"{arguments.parser.prog} takes the notebook itself, not --file")
    return [session.project(path) for path in arguments.notebooks]


def _leave_out_copies(session: Session, paths: list[str]) -> None:
    """Take executed copies out whose notebooks are named, too, as `*.ipynb` has it."""
    from envtool.kernel.headless.preparing import COPY

    for copy in [path for path in paths if path.endswith(COPY)]:
        notebook = f"{copy.removesuffix(COPY)}.ipynb"
        if notebook in paths:
            paths.remove(copy)
            session.terminal.say(f"note: left out {copy}, the executed copy of {notebook}")


def _run_notebooks(session: Session, arguments: Namespace) -> int:
    from envtool.kernel.headless.running import run_notebook, run_notebooks

    if arguments.in_place and arguments.output:
        raise UsageError("--in-place and --output exclude each other")
    _leave_out_copies(session, arguments.notebooks)
    projects, workspace = _projects(session, arguments), session.workspace()
    output = arguments.output and os.path.join(working_directory(), arguments.output)
    parameters = _parameters(arguments)
    wanted = _wanted(arguments, output=output, in_place=arguments.in_place, parameters=parameters)
    if len(projects) == 1:
        return _report_run(session, run_notebook(workspace, projects[0], wanted))
    return _report_runs(session, run_notebooks(workspace, projects, wanted))


def _wanted(arguments: Namespace, **more: Any) -> "Wanted":
    from envtool.kernel.headless.preparing import Wanted

    return Wanted(
        timeout=arguments.timeout,
        jobs=arguments.jobs,
        isolated=arguments.isolated,
        network=not arguments.no_network,
        **more,
    )


def _parameters(arguments: Namespace) -> dict[str, Any]:
    from envtool.formats.notebooks.parameters import read_file, read_value
    from envtool.machine.project import read_text

    found: dict[str, Any] = {}
    if arguments.parameters:
        found = read_file(
            read_text(os.path.abspath(arguments.parameters)), file=arguments.parameters
        )
    return found | {name: read_value(text) for name, text in arguments.parameter}


def _report_run(session: Session, done: "NotebookRun") -> int:
    if session.terminal.json:
        shape = _run_json(done)
        del shape["error"]
        session.terminal.result_json({**shape, "notebooks": [_run_json(done)]})
    else:
        session.terminal.result(_run_line(done))
    return 0


def _report_runs(session: Session, runs: "list[NotebookRun]") -> int:
    failed = [run for run in runs if run.error is not None]
    if session.terminal.json:
        session.terminal.result_json({"notebooks": [_run_json(run) for run in runs]})
    else:
        session.terminal.result(printable("\n".join(_run_line(run) for run in runs)))
    return 1 if failed else 0


def _run_line(run: "NotebookRun") -> str:
    if run.error is not None:
        hint = f"\n  hint: {run.error.hint}" if run.error.hint else ""
        return f"{os.path.relpath(run.notebook)}: {run.error.message}{hint}"
    return f"ran {plural(run.cells, 'cell')} in {duration_text(run.seconds)}: {run.output}"


def _run_json(run: "NotebookRun") -> dict[str, Any]:
    return {
        "notebook": run.notebook,
        "output": run.output,
        "generation": run.generation,
        "environment": run.environment.full(),
        "cells": run.cells,
        "seconds": run.seconds,
        "error": _error_json(run.error),
    }


def _error_json(error: EnvtoolError | None) -> dict[str, Any] | None:
    return None if error is None else {"message": error.message, "hint": error.hint}


def _run_verify(session: Session, arguments: Namespace) -> int:
    from envtool.formats.notebooks.comparing import Tolerance
    from envtool.kernel.headless.verifying import verify_notebooks

    tolerance = Tolerance(relative=arguments.tolerance, image=arguments.image_tolerance)
    found = verify_notebooks(
        session.workspace(),
        _projects(session, arguments),
        tolerance,
        _wanted(arguments),
    )
    terminal = session.terminal
    if terminal.json:
        same = all(each.is_same for each in found)
        terminal.result_json({"same": same, "notebooks": [_verified_json(each) for each in found]})
    else:
        lines = (line for each in found for line in _verified_lines(each))
        terminal.result(printable("\n".join(lines)))
    return 0 if all(each.is_same for each in found) else 1


def _verified_lines(verified: "Verified") -> list[str]:
    differing = [cell for cell in verified.cells if cell.status == "differs"]
    varying = sum(cell.status == "varies" for cell in verified.cells)
    count = plural(len(verified.cells), "cell")
    shown = os.path.relpath(verified.notebook)
    told = (
        f"{len(differing)} of {count} came out differently" if differing else f"{count}, the same"
    )
    if varying:
        told += f" ({varying} not compared)"
    lines = [f"{shown}: {told}"]
    if verified.is_same_closure:
        lines.append(
            f"  ran in the very closure that made its outputs: {verified.origin.environment}"
        )
    else:
        lines.append(
            f"  note: ran in {verified.environment.full()} (python {verified.python}), "
            f"its outputs are of {verified.origin.environment} (python {verified.origin.python})"
        )
    if verified.stopped:
        lines.append(
            "  note: a cell failed as it did then; what follows it was executed neither time"
        )
    for cell in differing:
        lines.append(f"  cell {cell.number}: {cell.title}")
        lines += [f"    {line}" for text in cell.differences for line in text.splitlines()]
    if verified.error is not None:
        lines += [f"  {line}" for line in verified.error.message.splitlines()]
    return lines


def _verified_json(verified: "Verified") -> dict[str, Any]:
    return {
        "notebook": verified.notebook,
        "same": verified.is_same,
        "same_closure": verified.is_same_closure,
        "origin": verified.origin.json(),
        "environment": verified.environment.full(),
        "python": verified.python,
        "cells": [
            {
                "number": cell.number,
                "status": cell.status,
                "differences": list(cell.differences),
            }
            for cell in verified.cells
        ],
        "error": _error_json(verified.error),
        "stopped": verified.stopped,
        "seconds": verified.seconds,
    }
