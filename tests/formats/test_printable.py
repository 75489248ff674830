import pytest

from envtool.formats.printable import escaped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ladoga é 湖", "Ladoga é 湖"),
        ("\x1b]0;mine\x07", "\\x1b]0;mine\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\rb", "a\\rb"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == printable(text) == shown


def test_lines_and_tabs_stay_where_several_lines_are_shown() -> None:
    assert printable("a\n\tb") == "a\n\tb"
    assert escaped("a\n\tb") == "a\\n\\tb"
