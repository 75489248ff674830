"""Colours, sizes and durations, and which stream says what."""

import io
from typing import Any

import pytest

from envtool.cli.options import Options
from envtool.cli.terminal import Terminal, duration_text, size_text


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("color", "environ", "stream", "shown"),
    [
        ("auto", {}, Screen(), True),
        ("auto", {}, io.StringIO(), False),
        ("auto", {"NO_COLOR": "1"}, Screen(), False),
        ("auto", {"NO_COLOR": ""}, Screen(), True),
        ("auto", {"TERM": "dumb"}, Screen(), False),
        ("always", {"NO_COLOR": "1"}, io.StringIO(), True),
        ("never", {}, Screen(), False),
    ],
)
def test_colours_are_shown_where_they_are_seen(
    color: str, environ: dict[str, str], stream: io.StringIO, shown: bool
) -> None:
    terminal = Terminal(Options(color=color), environ)
    assert terminal.colors(stream) is shown
    styled = "\033[31mx\033[0m" if shown else "x"
    assert terminal.style("x", "red", stream=stream) == styled


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (45_200_000, "45.2 MB"),
        (3_000_000_000, "3.0 GB"),
        (5_000_000_000_000_000, "5000 TB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_sizes_have_three_digits(size: int | None, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.26, "0.3 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_durations_are_rounded_as_people_do(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_quiet_says_results_and_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Options(quiet=True, verbose=True))
    terminal.result("result")
    terminal.say("said")
    terminal.detail("detail")
    terminal.complain("complaint")
    assert capsys.readouterr() == ("result\n", "complaint\n")


def test_what_a_locale_lacks_is_escaped(envtool: Any, place: Any) -> None:
    ended = envtool("kaffe", "ø", "ø", environ={"PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 2
    ended = envtool("ø", environ={"PYTHONIOENCODING": "ascii"})
    assert "envtool \\xf8" in ended.stderr
