"""Programs of wheels on this machine, made of a program that every Linux has."""

import os
import shutil
from pathlib import Path

import pytest

from envtool.build.closed.localising import find_patchelf
from envtool.build.closed.programs import localise_programs
from envtool.errors import BuildError
from envtool.sources.binaries import read_file

PROGRAM = os.path.realpath(shutil.which("ls") or "/bin/ls")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Return an unpacked wheel with a program and something beside it."""
    folder = tmp_path / "1-wheel"
    for name in ("site-packages/a/bin", "site-packages/a/data", "site-packages/b"):
        (folder / name).mkdir(parents=True)
    shutil.copyfile(PROGRAM, folder / "site-packages/a/bin/tool")
    for name in ("wheel.json", "site-packages/a/bin/text", "site-packages/a/data/more"):
        (folder / name).write_text("text")
    return folder


def test_only_programs_are_copies_and_the_rest_leads_into_the_wheel(
    wheel: Path, tmp_path: Path
) -> None:
    target = tmp_path / "2-local"
    patchelf = find_patchelf(os.environ["PATH"])
    localise_programs(str(wheel), str(target), PROGRAM, patchelf=patchelf, note=pytest.fail)
    site = target / "site-packages"
    links = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_symlink()}
    assert links == {"wheel.json"} | {
        f"site-packages/{name}" for name in ("b", "a/data", "a/bin/text")
    }
    assert os.readlink(site / "a/data") == "../../../1-wheel/site-packages/a/data"
    assert (site / "a/data/more").read_text() == (target / "wheel.json").read_text() == "text"
    before, after = read_file(PROGRAM), read_file(str(site / "a/bin/tool"))
    assert before is not None
    assert after is not None
    assert after.interpreter == before.interpreter
    assert os.access(site / "a/bin/tool", os.X_OK)


def test_a_program_that_cannot_be_changed_stays_as_it_is_and_is_told(
    wheel: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "patchelf"
    broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    broken.chmod(0o755)
    notes: list[str] = []
    target = tmp_path / "2-local"
    localise_programs(str(wheel), str(target), PROGRAM, patchelf=str(broken), note=notes.append)
    assert (target / "site-packages/a/bin/tool").is_symlink()
    (note,) = notes
    assert note.startswith("site-packages/a/bin/tool starts by the host's loader: ")
    assert "out of luck" in note


def test_without_an_interpreter_of_our_own_there_is_no_loader(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="has no loader"):
        localise_programs(
            str(wheel),
            str(tmp_path / "2-local"),
            str(wheel / "wheel.json"),
            patchelf="patchelf",
            note=pytest.fail,
        )
