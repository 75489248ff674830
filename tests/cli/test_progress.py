"""Progress: a line per finished phase off a terminal, bars on one."""

import itertools
import subprocess
import sys
import threading
from typing import Any

import pytest

from envtool.cli.options import Options
from envtool.cli.progress import Progress
from envtool.cli.terminal import Terminal
from envtool.reporting import Kind, Step


def progress(*, quiet: bool = False, verbose: bool = False) -> Progress:
    """Return a progress whose clock moves by two seconds at each look; phases look twice."""
    ticks = itertools.count(0.0, 2.0)
    return Progress(Terminal(Options(quiet=quiet, verbose=verbose)), clock=lambda: next(ticks))


def work(shown: Progress, kind: Kind, sizes: list[int]) -> None:
    shown.expect(kind, len(sizes), sum(sizes))
    for number, size in enumerate(sizes):
        step = Step(kind, f"{number}.whl", size)
        shown.start(step)
        shown.advance(step, size // 2)
        shown.advance(step, size - size // 2)
        shown.finish(step)


def test_a_finished_phase_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    work(progress(), "fetch", [30_000_000, 15_000_000, 200_000])
    assert capsys.readouterr() == ("", "fetched 3 artifacts, 45.2 MB in 2.0 s (22.6 MB/s)\n")


def test_a_phase_nobody_expected_ends_with_its_step(capsys: pytest.CaptureFixture[str]) -> None:
    shown, step = progress(), Step("resolve", "demo")
    shown.start(step)
    shown.finish(step)
    assert capsys.readouterr().err == "resolved in 2.0 s\n"


def test_a_phase_of_nothing_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress()
    shown.expect("fetch", 0, 0)
    shown.close()
    assert capsys.readouterr() == ("", "")


def test_verbose_names_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    work(progress(verbose=True), "unpack", [1000, 2000])
    assert capsys.readouterr().err.splitlines() == [
        "unpacked 0.whl, 1.0 kB",
        "unpacked 1.whl, 2.0 kB",
        "unpacked 2 artifacts, 3.0 kB in 2.0 s (1.5 kB/s)",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress(quiet=True, verbose=True)
    work(shown, "fetch", [1])
    shown.note("waiting")
    assert capsys.readouterr() == ("", "")


def test_what_was_done_before_a_failure_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress()
    shown.expect("build", 3, None)
    shown.start(Step("build", "one"))
    shown.finish(Step("build", "one"))
    shown.start(Step("build", "two"))
    shown.close()
    shown.close()
    assert capsys.readouterr().err == "built 1 derivation in 2.0 s\n"


def test_an_error_ends_the_progress_first(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Options())
    shown = Progress(terminal, clock=lambda: 0.0)
    shown.expect("build", 2, None)
    shown.start(Step("build", "one"))
    shown.finish(Step("build", "one"))
    terminal.complain("error: no")
    assert capsys.readouterr().err == "built 1 derivation in 0.0 s\nerror: no\n"


def test_steps_of_many_threads_are_all_counted(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress()
    shown.expect("fetch", 800, 800)

    def fetch() -> None:
        for number in range(100):
            step = Step("fetch", str(number), 1)
            shown.start(step)
            shown.advance(step, 1)
            shown.finish(step)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err == "fetched 800 artifacts, 800 B in 2.0 s (400 B/s)\n"


def test_off_a_terminal_rich_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from envtool.cli.options import Options\n"
        "from envtool.cli.progress import Progress\n"
        "from envtool.cli.terminal import Terminal\n"
        "from envtool.reporting import Step\n"
        "shown = Progress(Terminal(Options()))\n"
        "shown.start(Step('build', 'x')); shown.finish(Step('build', 'x'))\n"
        "assert 'rich' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True).returncode == 0


ON_A_TERMINAL = """\
from envtool.cli.options import Options
from envtool.cli.progress import Progress
from envtool.cli.terminal import Terminal
from envtool.reporting import Step
terminal = Terminal(Options())
shown = Progress(terminal)
shown.expect("fetch", 2, 2000)
for name in "ab":
    step = Step("fetch", name, 1000)
    shown.start(step)
    shown.advance(step, 1000)
    shown.note(f"note {name}")
    input()
    shown.finish(step)
terminal.result("done")
"""


@pytest.fixture
def on_a_terminal(open_terminal: Any) -> Any:
    """Start what works at two steps, each ended by a line, on a terminal."""
    words = (sys.executable, "-c", ON_A_TERMINAL)
    return lambda **environ: open_terminal(*words, environ={"NO_COLOR": "", **environ})


def test_on_a_terminal_bars_move_and_leave_lines(on_a_terminal: Any) -> None:
    child = on_a_terminal()
    child.expect_exact("note a")
    child.expect("fetching.*0/2, 1.0 kB of 2.0 kB")
    child.sendline()
    child.expect("fetching.*1/2, 2.0 kB of 2.0 kB")
    child.sendline()
    child.expect(r"fetched 2 artifacts, 2\.0 kB in .*/s\)")
    child.expect_exact("\x1b[?25h")  # the cursor is back
    assert child.line("done") == "done"
    assert child.ended() == 0


def test_without_colours_the_bars_are_plain(on_a_terminal: Any) -> None:
    child = on_a_terminal(NO_COLOR="1")
    child.expect("fetching.*0/2, 1.0 kB of 2.0 kB")
    assert "\x1b[3" not in child.before + child.after


def test_a_dumb_terminal_gets_lines(on_a_terminal: Any) -> None:
    child = on_a_terminal(TERM="dumb")
    child.sendline()
    child.sendline()
    child.expect_exact("done")
    assert "\x1b" not in child.before
    assert "fetched 2 artifacts" in child.before


@pytest.mark.parametrize("kind", ["resolve", "fetch", "unpack", "build", "compose", "collect"])
def test_every_kind_of_step_has_its_words(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    work(progress(), kind, [10])
    assert capsys.readouterr().err.split()[1] == "1"


def test_a_program_that_asks_for_lines_hears_how_far_each_phase_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ticks = itertools.count(0.0, 2.0)
    terminal = Terminal(Options(), {"ENVTOOL_PROGRESS": "lines"})
    work(Progress(terminal, clock=lambda: next(ticks)), "fetch", [3000, 1000])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fetching 0/2"
    assert "fetching 1/2, 3.0 kB of 4.0 kB" in lines
    assert lines[-1].startswith("fetched 2 artifacts, 4.0 kB in ")
