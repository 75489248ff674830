"""The command that looks at the machine: `doctor`."""

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.cli.terminal import Style
    from envtool.machine.asking.checkup import Finding
    from envtool.workspace.workspace import Workspace

__all__ = ["add_commands"]

_MARKS: "Mapping[str, Style]" = {
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "red",
}


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    add_command(
        commands,
        "doctor",
        _run_doctor,
        summary="check the machine, and say what to do where something is missing",
        text="""
        Looks at the root and its disk, namespaces, clock, locale, shells, PATH, Python, Jupyter,
        the store and its roots, and asks the package index and Debian's mirror for a page.
        Changes nothing. The exit code is 1 if something is in the way.
        """,
        examples=[
            ("envtool doctor", ""),
            ("envtool --offline doctor", "without asking the network"),
            ("envtool doctor --json", "for a bug report"),
        ],
    )


def _run_doctor(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    terminal, findings = session.terminal, []
    for finding in _findings(session.workspace()):
        findings.append(finding)
        if not terminal.json:
            level = terminal.style(f"{finding.level:<8}", _MARKS[finding.level])
            terminal.result(f"{level} {finding.subject}: {finding.text}")
            if finding.remedy:
                terminal.result(f"{'':9}-> {finding.remedy}")
    is_well = all(finding.level != "error" for finding in findings)
    if terminal.json:
        shapes = [
            {"subject": f.subject, "level": f.level, "text": f.text, "remedy": f.remedy}
            for f in findings
        ]
        terminal.result_json({"well": is_well, "findings": shapes})
    return 0 if is_well else 1


def _findings(workspace: "Workspace") -> Iterator["Finding"]:
    from envtool.machine.asking import checkup

    settings = workspace.settings
    yield from checkup.check_disk(settings)
    yield from checkup.check_host(settings, os.environ)
    yield from _check_jupyter(workspace)
    yield from checkup.check_store(settings)
    yield from checkup.check_network(settings, os.environ)


def _check_jupyter(workspace: "Workspace") -> Iterator["Finding"]:
    from shutil import which

    from envtool.kernel.specs.registered import list_kernels
    from envtool.machine.asking.checkup import Finding

    found = which("jupyter")
    if found is None:
        yield Finding("Jupyter", "note", "no `jupyter` on PATH; editors bring their own")
    else:
        yield Finding("Jupyter", "ok", found)
    kernels = list_kernels(workspace)
    stale = [kernel for kernel in kernels if kernel.stale]
    for kernel in stale:
        remedy = f"envtool kernel remove {kernel.name}"
        yield Finding("kernels", "warning", f"{kernel.name}: {kernel.stale}", remedy)
    if kernels and not stale:
        yield Finding("kernels", "ok", f"{len(kernels)} registered, each of them can start")
