from envtool.cli.parser import FAMILIES
from envtool.formats.hints import OF_A_DECLARATION, placed


def test_commands_are_spelled_for_the_declaration_that_is_meant() -> None:
    words = ["-f", "my plot.ipynb"]
    assert placed("envtool lock --upgrade NAME", words) == (
        "envtool -f 'my plot.ipynb' lock --upgrade NAME"
    )
    assert placed("see `envtool tree`, or envtool diff", ["-e", "ci"]) == (
        "see `envtool -e ci tree`, or envtool -e ci diff"
    )


def test_what_is_about_no_declaration_or_has_its_options_stays() -> None:
    for hint in (
        "envtool gc",
        "envtool store verify --repair",
        "envtool -f other.toml lock",
        "/opt/bin/envtool lock",
    ):
        assert placed(hint, ["-f", "plot.ipynb"]) == hint
    assert placed("envtool lock", []) == "envtool lock"
    assert placed(None, ["-f", "plot.ipynb"]) is None


def test_every_command_that_is_spelled_out_is_there() -> None:
    assert {name for names in FAMILIES.values() for name in names} > OF_A_DECLARATION
