"""Realise environments of packages that people use, and see that each works.

    python tests/soak/complete.py                         # all of complete.toml; gigabytes, an hour
    python tests/soak/complete.py opencv-python r --root DIR
    python tests/soak/complete.py --interpreter debian/bookworm --python 3.11

Each environment is tried twice: on the host, and in the empty root that `run --isolated --pure
--no-network` makes. Packages come from the index and the mirrors that this machine uses. With
--root what was realised stays for the next time. Prints a line for each; the exit code is 1 when
one of them failed.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

CASES = Path(__file__).with_suffix(".toml")
START = [sys.executable, "-m", "envtool"]
EMPTY = ("--isolated", "--pure", "--no-network")
DECLARED = ("dependencies", "sdists", "libraries")
LINES = 12
"""Of what a failed command said, that are shown."""


@dataclass(frozen=True)
class Case:
    """An environment, and what shows that it works."""

    name: str
    told: Mapping[str, Any]

    def declaration(self, *, interpreter: str, python: str | None) -> str:
        written: dict[str, Any] = {"name": self.name, "interpreter": interpreter}
        if python := self.told.get("python-version", python):
            written["python"] = python
        written |= {key: self.told[key] for key in DECLARED if key in self.told}
        if "system" in self.told:
            suite = interpreter.partition("/")[2]
            written["system"] = {"packages": self.told["system"]}
            written["system"] |= {"suite": suite} if suite else {}
        return tomlkit.dumps(written)

    @property
    def words(self) -> list[str]:
        if "python" in self.told:
            return ["python", "-c", self.told["python"]]
        # Of a Debian; or, in an environment without one, what its Python runs.
        if "system" in self.told:
            return ["sh", "-c", self.told["shell"]]
        return ["python", "-c", _shell(self.told["shell"])]

    @property
    def said(self) -> str:
        return str(self.told["said"])


def _shell(lines: str) -> str:
    """Return Python that runs what lines of shell name, one command after another."""
    commands = [
        each.strip() for line in lines.splitlines() for each in line.split("&&") if each.strip()
    ]
    return (
        "import shlex, subprocess\n"
        f"for line in {commands!r}: subprocess.run(shlex.split(line), check=True)\n"
    )


@dataclass(frozen=True)
class Failure:
    """A command that did not do what it should."""

    step: str
    text: str


class Trial:
    """One case in a folder of its own."""

    def __init__(self, case: Case, folder: Path, root: Path) -> None:
        self.case = case
        self.folder = folder
        (folder / "home").mkdir()
        (folder / "project").mkdir()
        home = {"HOME": str(folder / "home"), "ENVTOOL_ROOT": str(root)}
        self.environ = {**os.environ, **home, "LC_ALL": "C.UTF-8"}

    def steps(self) -> Iterator[tuple[str, Sequence[str], str]]:
        """Yield commands, and what each must say."""
        yield "switch", ["switch"], ""
        yield "check", ["check"], ""
        yield "host", ["run", *self.case.words], self.case.said
        yield "empty", ["run", *EMPTY, *self.case.words], self.case.said

    def run(self, step: str, words: Sequence[str], said: str) -> Failure | None:
        ended = subprocess.run(
            [*START, *words],
            cwd=self.folder / "project",
            env=self.environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if ended.returncode != 0:
            return Failure(step, f"{ended.stdout}{ended.stderr}\nexit code {ended.returncode}")
        if said not in ended.stdout:
            return Failure(step, f"{said!r} is not in:\n{ended.stdout}")
        return None


def attempt(trial: Trial) -> Iterator[Failure]:
    """Yield what failed."""
    for step, words, said in trial.steps():
        begun = time.monotonic()
        failure = trial.run(step, words, said)
        show(f"  {step} {'FAILED' if failure else f'{time.monotonic() - begun:.1f} s'}")
        if failure:
            yield failure
            if step == "switch":
                break
    show("\n")


def show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="cases; default: all")
    parser.add_argument("--interpreter", default="debian", help="default: debian")
    parser.add_argument("--python", help="its version; default: the newest")
    parser.add_argument("--root", type=Path, help="envtool's root; default: a new one")
    return parser.parse_args()


def main() -> int:
    told = arguments()
    cases = {name: Case(name, each) for name, each in tomllib.loads(CASES.read_text()).items()}
    failed: dict[str, list[Failure]] = {}
    with contextlib.ExitStack() as stack:
        above = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        for name in told.names or cases:
            case, folder = cases[name], above / name
            folder.mkdir()
            show(f"{name:24}")
            trial = Trial(case, folder, told.root or above / "root")
            text = case.declaration(interpreter=told.interpreter, python=told.python)
            (folder / "project/envtool.toml").write_text(text)
            failed[name] = list(attempt(trial))
    for name, failures in failed.items():
        for failure in failures:
            lines = failure.text.strip().splitlines()[-LINES:]
            show(f"\n{name}, {failure.step}:\n" + "".join(f"  {line}\n" for line in lines))
    return 1 if any(failed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
