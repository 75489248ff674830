"""What `build` and `switch` do. Without further words they come here past argparse."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envtool.cli.options import Options
    from envtool.cli.session import Session
    from envtool.cli.terminal import Terminal
    from envtool.formats.outcomes import Generation
    from envtool.machine.project import Project

__all__ = ["PLAIN", "build", "perform_switch", "realise", "switch"]


def build(session: "Session") -> int:
    """Realise the environment and print where it lies."""
    workspace, terminal = session.realising(), session.terminal
    path = workspace.build(session.project())
    if terminal.json:
        terminal.result_json({"path": path.full(), "physical": workspace.physical(path)})
    else:
        terminal.result(workspace.physical(path))
    return 0


def switch(session: "Session") -> int:
    """Switch to the environment that is declared."""
    project, workspace = session.found_project(), session.switching()
    return perform_switch(session, project, lambda: workspace.switch(project))


PLAIN = {"build": build, "switch": switch}


def realise(command: str, options: "Options", terminal: "Terminal") -> int:
    """Do what one of these commands does when nothing stands behind it."""
    from envtool.cli.options import start_in
    from envtool.cli.session import Session

    start_in(options)
    return PLAIN[command](Session(options, terminal))


def perform_switch(
    session: "Session", project: "Project", switch: Callable[[], tuple["Generation", bool]]
) -> int:
    """Switch to a generation, new or not, and print it and what came and went."""
    from envtool.cli.render import changes_lines, generation_json, generation_line

    before = session.quiet_workspace().profile(project).current()
    generation, made = switch()
    terminal, switched = session.terminal, before is None or before.number != generation.number
    if terminal.json:
        shape = {"made": made, "switched": switched, "generation": generation_json(generation)}
        terminal.result_json(shape)
        return 0
    line = generation_line(generation, terminal)
    if not switched:
        terminal.result(f"nothing to do; {line}")
        return 0
    lines = [line if made else f"switched to {line}", *changes_lines(generation.changes, terminal)]
    if made and generation.number == 1:
        lines.append(_next_steps(session.program(project)))
    terminal.result("\n".join(lines))
    return 0


def _next_steps(program: str) -> str:
    return (
        f"next: `{program} shell`, `{program} run python`, or `envtool kernel install` for Jupyter"
    )
