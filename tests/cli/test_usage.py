"""Wrong usage names the near word and exits 2; help teaches."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from envtool.cli.options import UsageError, global_options, leading
from envtool.cli.parser import FAMILIES, make_parser

START = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
PLAIN = ["init", "add", "remove", "lock", "switch", "build", "run", "shell", "tree", "why"]
PLAIN += [
    "upgrade",
    "outdated",
    "export",
    "doctor",
    "audit",
    "check",
    "generations",
    "rollback",
    "gc",
    "completion",
]
PLAIN += ["declare", "diff", "fetch"]
PLAIN += ["print-env", "hook", "allow", "deny"]
PLAIN += ["search"]
COMMANDS = [*PLAIN, "kernel", "notebook", "store"]
EVERY = [[name] for name in PLAIN]
EVERY += [["kernel", "install"], ["kernel", "list"], ["kernel", "remove"]]
EVERY += [["notebook", name] for name in ("init", "add", "lock", "show", "run", "verify", "clean")]
EVERY += [["generations", "delete"]]
EVERY += [["store", name] for name in make_parser("store").commands()["store"].commands()]


def test_without_a_word_it_shows_where_to_start(envtool: Any) -> None:
    ended = envtool()
    assert ended.returncode == 0
    named = re.findall(r"^  envtool (\w+)", ended.stdout, re.MULTILINE)
    assert named == ["init", "add", "shell"]
    assert all(name in ended.stdout for name in COMMANDS if name != "completion")


def test_every_command_is_there() -> None:
    assert set(make_parser().commands()) == set(COMMANDS)


@pytest.mark.parametrize("words", EVERY)
def test_help_has_a_summary_a_paragraph_and_examples(words: list[str], envtool: Any) -> None:
    ended = envtool(*words, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    _, summary, paragraph, *_ = ended.stdout.split("\n\n")
    assert summary.endswith(".")
    assert "\n" not in summary
    assert len(paragraph.split()) > 8
    examples = ended.stdout.split("examples:\n")[1].splitlines()
    assert all("envtool" in line for line in examples)


def test_every_example_names_its_command(envtool: Any) -> None:
    for words in EVERY:
        examples = envtool(*words, "--help").stdout.split("examples:\n")[1]
        assert all(set(words) <= set(re.findall(r"[\w-]+", line)) for line in examples.splitlines())


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["swich"], "there is no command envtool swich", "did you mean `envtool switch`?"),
        (["xyzzy"], "there is no command envtool xyzzy", "envtool --help"),
        (["switch", "--dryrun"], "does not know --dryrun", "did you mean --dry-run?"),
        (["kernel", "lst"], "no command envtool kernel lst", "`envtool kernel list`"),
        (["kernel"], "envtool kernel needs a command: install, list, remove", "kernel --help"),
        (["rollback", "three"], "expected the number of a generation", "rollback --help"),
        (["rollback", "0"], "expected the number of a generation", "rollback --help"),
        (["remove"], "remove needs the name of a package", "envtool tree lists them"),
        (["add"], "add needs a requirement", "envtool add numpy"),
        (["-C"], "-C needs a value", "--help"),
        (["-C", "/nowhere/at/all", "tree"], "-C /nowhere/at/all: No such file", ""),
        (["--color", "purple", "tree"], "expected one of auto, always, never", ""),
        (["notebook", "run", "--timeout", "-2", "x.ipynb"], "expected a whole number from 1", ""),
        (["completion", "tcsh"], "invalid choice: 'tcsh'", "completion --help"),
    ],
)
def test_wrong_usage_exits_2_and_helps(
    words: list[str], message: str, hint: str, envtool: Any
) -> None:
    ended = envtool(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    error, *hints = ended.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint in "".join(hints)


def test_wrong_usage_is_json_when_asked(envtool: Any) -> None:
    import json

    ended = envtool("--json", "swich")
    assert ended.returncode == 2
    assert json.loads(ended.stdout) == {
        "error": {
            "kind": "usage",
            "message": "there is no command envtool swich",
            "hint": "did you mean `envtool switch`?",
        }
    }
    assert ended.stderr == ""


def test_leading_ends_at_the_commands_own_words() -> None:
    options, command, rest = leading(["-Cx", "--env=a", "run", "-q", "ls", "-v"])
    assert (options.directory, options.environment, options.quiet) == ("x", "a", True)
    assert (command, rest, options.verbose) == ("run", ["ls", "-v"], False)


def test_leading_leaves_what_it_does_not_know() -> None:
    assert leading(["--help", "run"])[1:] == (None, ["--help", "run"])
    assert leading([])[1:] == (None, [])
    with pytest.raises(UsageError, match="--file needs a value"):
        leading(["--file"])


def test_options_of_a_run_command_are_not_ours() -> None:
    assert not global_options(["run", "ls", "--json", "--color=always"]).json
    assert global_options(["--json", "run", "ls"]).json
    assert global_options(["tree", "--json", "--color", "never"]).color == "never"
    assert not global_options(["why", "--", "--json"]).json


def test_options_may_stand_before_and_behind_the_command(
    envtool: Any, make_generation: Any
) -> None:
    make_generation()
    before, behind = envtool("--json", "generations"), envtool("generations", "--json")
    assert before.stdout == behind.stdout
    assert before.returncode == 0


def test_help_on_a_terminal_without_a_size_is_as_wide_as_usual(place: Any) -> None:
    ours, theirs = os.openpty()
    words = [*START, "notebook", "--help"]
    environ = {**place.environ, "COLUMNS": ""}
    subprocess.run(words, stdout=theirs, cwd=place.project, env=environ, check=True)
    assert b"write a notebook, or a declaration into one" in os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)


def test_the_version(envtool: Any) -> None:
    from envtool import __version__

    assert envtool("--version").stdout == f"envtool {__version__}\n"


def test_every_command_belongs_to_the_family_that_adds_it() -> None:
    whole = make_parser().commands()
    assert sorted(whole) == sorted(name for names in FAMILIES.values() for name in names)
    for name, parser in whole.items():
        alone = make_parser(name).commands()
        assert alone[name].format_help() == parser.format_help()


def test_help_of_a_family_lists_its_commands_and_nothing_else(envtool: Any) -> None:
    listed = envtool("kernel", "--help").stdout.split("commands:\n")[1].split("\n\n")[0]
    names = re.findall(r"^ {2,4}(\S+)", listed, re.MULTILINE)
    assert names == ["COMMAND", "install", "list", "remove"]
