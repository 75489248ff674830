"""The documents say what is so: commands, keys, links, and every command line of the README."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envtool.cli.parser import make_parser
from envtool.formats.declarations import schema

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def shell_blocks(name: str) -> list[list[str]]:
    """Return the command lines of each `sh` block of a document."""
    blocks = re.findall(r"^```sh\n(.*?)^```", read(name), re.MULTILINE | re.DOTALL)
    return [[line for line in block.splitlines() if line.strip()] for block in blocks]


def test_the_reference_is_what_the_parser_says() -> None:
    rendered = runpy.run_path(str(ROOT / "docs/reference/generate.py"))["render"]()
    told = "run: .venv/bin/python docs/reference/generate.py"
    assert read("docs/reference/commands.md") == rendered, told


def test_the_reference_has_every_command_and_option() -> None:
    text = read("docs/reference/commands.md")
    missing = []
    for name, command in make_parser().commands().items():
        for below, each in {name: command, **command.commands()}.items():
            title = name if below == name else f"{name} {below}"
            options = [word for one in each.options() for word in one.option_strings]
            missing += [title] * (f"# `envtool {title}`\n" not in text)
            missing += [
                word for word in options if word not in {"-h", "--help"} and word not in text
            ]
    assert missing == []


def test_the_json_reference_has_every_command() -> None:
    text = read("docs/reference/json.md")
    names = [
        f"{name} {below}".strip()
        for name, command in make_parser().commands().items()
        for below in [*command.commands(), *([""] if command.get_default("run") else [])]
    ]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_declarations_reference_has_every_key() -> None:
    text = read("docs/reference/declaration.md")
    keys = schema.SETTINGS_KEYS | schema._ENVIRONMENT_KEYS | {"name", "extras", "groups", "project"}
    assert [key for key in sorted(keys) if f"`{key}`" not in text and f"`{key} =" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [each for each in local if not (document.parent / each).exists()] == []


def test_every_command_of_every_document_is_one() -> None:
    known = {
        f"{name} {below}".strip()
        for name, command in make_parser().commands().items()
        for below in [*command.commands(), *([""] if command.get_default("run") else [])]
    }
    wrong = []
    for document in DOCUMENTS:
        for line in (line for block in shell_blocks(str(document)) for line in block):
            words = shlex.split(line, comments=True)
            if words[:1] == ["envtool"]:
                while words[1].startswith("-"):
                    del words[1 : 3 if words[1] in {"-f", "-e", "-C"} else 2]
                if words[1] not in known and " ".join(words[1:3]) not in known:
                    wrong.append(f"{document.name}: {line}")
    assert wrong == []


# The README, word for word


@pytest.fixture
def stranger(tmp_path: Path) -> dict[str, str]:
    """Return the variables of somebody who has nothing yet but a network."""
    kept = (
        "PATH",
        "LANG",
        "PIP_",
        "UV_",
        "SSL_",
        "REQUESTS_",
        "http",
        "HTTP",
        "no_proxy",
        "NO_PROXY",
    )
    environ = {name: text for name, text in os.environ.items() if name.startswith(kept)}
    (tmp_path / "home").mkdir()
    return {**environ, "HOME": str(tmp_path / "home"), "SHELL": "/bin/sh", "ENVTOOL_FSYNC": "0"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clean clone of what is committed."""
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    argv = ["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")]
    subprocess.run(argv, check=True, env={**os.environ, **safe, "GIT_CONFIG_COUNT": "1"})
    return tmp_path / "clone"


def perform(line: str, folder: Path, environ: dict[str, str]) -> str:
    """Run a line of shell, which must succeed, and return all that it printed."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    return done.stdout


def python_first(environ: dict[str, str], folder: Path) -> dict[str, str]:
    """Let `python3` be the Python that our own was made from, whatever else is on PATH."""
    folder.mkdir()
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return {**environ, "PATH": f"{folder}:{environ['PATH']}"}


def commands_of_the_first_screen() -> Iterator[str]:
    (first,), (second,), *_ = shell_blocks("README.md")
    yield first
    yield f"{second} tests/formats/nix/test_hashing.py"


def test_the_two_commands_work_on_a_clean_clone(
    stranger: dict[str, str], clone: Path, tmp_path: Path
) -> None:
    environ = python_first(stranger, tmp_path / "bin")
    first, second = commands_of_the_first_screen()
    printed = perform(first, clone, environ)
    assert "making .venv" in printed
    assert "generation 1 of quickstart" in printed
    assert str(tmp_path / "home/.local/share/envtool") in printed
    assert "image/png" in (clone / "notebooks/quickstart.executed.ipynb").read_text()
    again = perform(first, clone, environ)
    assert "making .venv" not in again
    assert "fetched" not in again
    assert "passed" in perform(second, clone, environ)
    assert perform("git status --porcelain", clone, environ) == ""


def test_the_everyday_commands_work_one_after_the_other(
    stranger: dict[str, str], tmp_path: Path
) -> None:
    _, _, everyday = shell_blocks("README.md")
    folder, programs = tmp_path / "demo", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    program = "import sys; from envtool.cli import main; sys.exit(main())"
    (programs / "envtool").write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$@"\n', encoding="utf-8"
    )
    (programs / "envtool").chmod(0o755)
    environ = {**stranger, "PATH": f"{programs}:{stranger['PATH']}"}
    printed = {line: perform(line, folder, environ) for line in everyday}
    assert len(printed) == len(everyday)
    assert "numpy" in (folder / "pylock.toml").read_text()
