"""Every plumbing command with `--json`: one object, with the keys that the reference names."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envtool.cli.parser import make_parser
from envtool.formats.nix import nar

PROGRAM = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
REFERENCE = Path(__file__).parent.parent.parent.parent / "docs/reference/json.md"
APP, LIBC = "7y", "8z"
"""Stand for two store paths, of which the first needs the second."""
COMMANDS = {
    "add": ["data"],
    "cat": [LIBC],
    "closure": ["--sizes", APP],
    "delete": ["--dry-run", APP],
    "deriver": [APP],
    "diff-closures": [APP, LIBC],
    "dump": [APP, "--output", "out.nar"],
    "gc": ["--dry-run"],
    "graph": [APP],
    "hash": ["data"],
    "log": [APP],
    "ls": [APP],
    "optimise": [],
    "path-info": ["-r", "-s", APP],
    "references": [APP],
    "referrers": [LIBC],
    "restore": ["copy"],
    "roots": [],
    "verify": ["--contents"],
    "why-depends": [APP, LIBC],
}


def keys(text: str) -> set[str]:
    """Return the outermost keys of an object as the reference writes it."""
    inside = re.sub(r"[\[{][^\[\]{}]*[\]}]", "", text.strip()[1:-1])
    while inside != (inside := re.sub(r"[\[{][^\[\]{}]*[\]}]", "", inside)):
        continue
    return set(re.findall(r'"(\w+)"', inside))


def described() -> dict[str, set[str]]:
    """Return what the reference says of each command."""
    rows = re.findall(r"^\| (.+?) \| `(\{.*?\})`", REFERENCE.read_text(), re.MULTILINE)
    return {
        name: keys(shape)
        for names, shape in rows
        for name in re.findall(r"`store ([\w-]+)`", names)
    }


def test_every_command_of_the_family_is_tried() -> None:
    assert set(COMMANDS) == set(make_parser("store").commands()["store"].commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_object_has_the_keys_that_the_reference_names(name: str, place: Any, shelf: Any) -> None:
    (place.project / "data").write_text("data")
    logs = Path(shelf.store.settings.logs)
    logs.mkdir(parents=True)
    (logs / f"{shelf.app1}.log").write_text("built")
    words = [{APP: shelf.app1, LIBC: shelf.libc}.get(word, word) for word in COMMANDS[name]]
    ended = subprocess.run(
        [*PROGRAM, "store", name, "--json", *words],
        cwd=place.project,
        env=place.environ,
        input=nar.MAGIC + nar.symlink_node(b"x"),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert described()[name] == set(told)
