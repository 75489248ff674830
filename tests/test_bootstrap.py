"""A bare clone's first steps, where they go wrong; tests/test_docs.py has them going right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The Python that our own virtual environment was made from: it knows nothing of envtool.
BARE = str(Path(sys.executable).resolve())


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a checkout with just enough to set itself up, and no way to any index."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout / name)
    for name in ("envtool", "kernel", "magics"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=skipped)
    return checkout


def start(checkout: Path, *words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run `python3 -m envtool` there without an index; `code` goes before it."""
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    # A start-up file may make `python3` a wrapper; the bare one is started without it.
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_NO_INDEX": "1"}
    begin = f"import runpy, sys; sys.argv[1:] = {words!r}; {code}\n"
    argv = [BARE, "-c", begin + "runpy.run_module('envtool', run_name='__main__', alter_sys=True)"]
    return subprocess.run(
        argv, cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )


def test_without_an_index_pips_own_words_are_shown_and_nothing_counts_as_done(bare: Path) -> None:
    done = start(bare, "--version")
    assert done.returncode == 1
    assert "pip could not get what envtool needs" in done.stderr
    assert "setuptools" in done.stderr
    assert "Traceback" not in done.stderr
    assert (bare / ".venv" / "envtool-bootstrap").read_text() == ""
    assert "making .venv" in start(bare, "--version").stderr


def test_without_the_venv_module_the_package_that_has_it_is_named(bare: Path) -> None:
    done = start(bare, "--version", code="sys.modules['ensurepip'] = None")
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not (bare / ".venv").exists()


def test_a_virtual_environment_of_the_users_own_is_left_alone(bare: Path) -> None:
    (bare / ".venv").mkdir()
    (bare / ".venv" / "precious").write_text("mine")
    done = start(bare, "--version")
    assert "home/.cache/envtool/checkout-" in done.stderr
    assert os.listdir(bare / ".venv") == ["precious"]


def test_a_python_that_has_envtool_is_used_as_it_is() -> None:
    argv = [sys.executable, "-m", "envtool", "--version"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("envtool 0.1.0\n", "")


def test_what_pip_is_at_is_seen_on_a_terminal_only(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho Collecting numpy\necho $@ > " + f"{tmp_path}/words\n")
    python.chmod(0o755)
    code = f"from envtool.bootstrap import install; install({str(python)!r}, ['x'], 0)"
    ours, theirs = os.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    assert b"\r\x1b[K  Collecting numpy\r\x1b[K" in os.read(ours, 4096)
    assert "--quiet" not in (tmp_path / "words").read_text()
    os.close(ours)
    os.close(theirs)
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (plain.stdout, plain.stderr) == (b"", b"")
    assert "--quiet" in (tmp_path / "words").read_text()
