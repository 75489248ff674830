"""Imports go downwards only and never round, those inside functions or for the type checker too."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = {"envtool": "envtool", "kernel": "envtool.kernel", "magics": "envtool.magics"}
FLOORS = (
    {"errors", "reporting", "signals", "values"},
    {"formats"},
    {"sources"},
    {"machine"},
    {"plan", "build"},
    {"workspace"},
    {"cli", "kernel", "magics"},
    {"__main__"},
)
"""From the ground up."""
ALONE = {"bootstrap": set[str](), "magics": set[str]()}
"""Parts that run where nothing else of envtool is importable, and what they may import."""
ENTRANCES = {("envtool", "envtool.magics")}
"""IPython asks the package itself for its extension."""
FORBIDDEN = {("plan", "build")}
"""Neighbours on one floor of which the first must not import the second."""


@dataclass(frozen=True)
class Import:
    """One module of ours imports another."""

    by: str
    of: str
    line: int

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.of}"


def modules() -> dict[str, Path]:
    """Return every module of ours by its name; rglob does not enter symlinked folders."""
    found = {}
    for folder, package in ROOMS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imports() -> Iterator[Import]:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target in _targets(node):
                    if target.split(".")[0] == "envtool":
                        yield Import(name, target, node.lineno)


def _targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.level == 0 and node.module:
        for alias in node.names:
            below = f"{node.module}.{alias.name}"
            yield below if below in MODULES else node.module


IMPORTS = list(imports())


def part(module: str) -> str:
    """Return the floor's word: `formats` of `envtool.formats.nix`; empty for the package."""
    return module.split(".")[1] if "." in module else ""


def height(module: str) -> int:
    """Return how high a module lies; the package itself, which holds the version, at the ground."""
    word = part(module)
    return next((at for at, floor in enumerate(FLOORS) if word in floor), 0)


def test_every_module_has_a_floor() -> None:
    known = set[str]().union(*FLOORS) | set(ALONE) | {""}
    assert {part(module) for module in MODULES} - known == set()


def test_imports_go_downwards_only() -> None:
    wrong = [
        str(each)
        for each in IMPORTS
        if part(each.by) != part(each.of)
        and part(each.by) not in ALONE
        and (each.by, each.of) not in ENTRANCES
        and (height(each.by) < height(each.of) or (part(each.by), part(each.of)) in FORBIDDEN)
    ]
    assert wrong == []


def test_what_runs_alone_imports_nothing_of_ours() -> None:
    wrong = [
        str(each) for each in IMPORTS if part(each.by) in ALONE and part(each.of) != part(each.by)
    ]
    assert wrong == []


def test_no_import_is_relative() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert wrong == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = {name: set() for name in MODULES}
    for each in IMPORTS:
        if each.of in below:
            below[each.by].add(each.of)
    # Taking away, again and again, what imports nothing that is left, or is imported by nothing
    # that is left, leaves the circles.
    while settled := {
        name
        for name, targets in below.items()
        if not targets or not any(name in others for others in below.values())
    }:
        below = {name: below[name] - settled for name in below.keys() - settled}
    circles = {name: sorted(targets) for name, targets in below.items()}
    assert circles == {}


def test_the_tests_mirror_the_tree() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    rooms = {word for floor in FLOORS for word in floor if (ROOT / "envtool" / word).is_dir()}
    assert rooms - {"magics"} <= folders
