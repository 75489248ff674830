"""What is known of a project and its generations before anything heavy is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from envtool.errors import ProfileError
from envtool.formats.generation import RECORD
from envtool.machine.project import Project
from envtool.machine.settings import load
from envtool.workspace.entering import Entering, open_project
from envtool.workspace.switching import Switching

DECLARED = 'name = "demo"\n[vars]\nGREETING = "hello"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "envtool.toml").write_text(DECLARED)
    return open_project(str(tmp_path))


@pytest.fixture
def switching(tmp_path: Path) -> Switching:
    return Switching(load({**os.environ, "ENVTOOL_ROOT": str(tmp_path / "root")}))


@pytest.fixture
def entering(switching: Switching, project: Project) -> Entering:
    """Make one generation and return what is known of it."""
    switching.switch(project)
    return Entering(switching.settings)


def test_there_is_no_generation_before_the_first(switching: Switching, project: Project) -> None:
    assert switching.current(project) is None
    with pytest.raises(ProfileError, match="1"):
        switching.generation(project, 1)


def test_entering_sets_what_is_declared_and_leads_path(
    entering: Entering, project: Project
) -> None:
    current = entering.current(project)
    assert current is not None
    number, record = current
    environ = entering.activation(record, number, project).apply({"PATH": "/bin"})
    assert environ["GREETING"] == "hello"
    assert environ["PATH"] == f"{entering.physical(record.environment)}/bin:/bin"
    assert environ["ENVTOOL_GENERATION"] == "1"
    undeclared = entering.activation(record, number, project, declared=False).apply({})
    assert "GREETING" not in undeclared


def test_only_what_changes_the_meaning_is_drift(
    entering: Entering, project: Project, tmp_path: Path
) -> None:
    current = entering.current(project)
    assert current is not None
    file = tmp_path / "envtool.toml"
    assert not entering.drifted(project, current[1])
    file.write_text("# a comment\n" + DECLARED)
    assert not entering.drifted(project, current[1])
    file.write_text(DECLARED.replace("hello", "goodbye"))
    assert entering.drifted(project, current[1])


def test_lost_record_is_named_with_what_mends_it(entering: Entering, project: Project) -> None:
    generation = entering.profile(project).current()
    assert generation is not None
    folder = Path(entering.physical(generation.path))
    folder.chmod(0o755)
    (folder / RECORD).unlink()
    with pytest.raises(ProfileError, match=RECORD) as caught:
        entering.current(project)
    assert caught.value.hint == "make a new generation: envtool switch"


def test_what_was_denied_after_it_was_allowed_is_denied(
    entering: Entering, project: Project
) -> None:
    variables, hook = entering.allow(project)
    assert (variables, hook) == ({"GREETING": "hello"}, None)
    digest = entering.declaration_digest(project)
    consent = entering._consent(project)
    assert consent.verdict(digest) == "allowed"
    entering.deny(project)
    assert consent.verdict(digest) == "denied"


def test_it_loads_no_other_part() -> None:
    code = (
        "import sys, envtool.workspace.entering;"
        "print(sorted(n for n in sys.modules if n.startswith('envtool.workspace.')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "['envtool.workspace.entering']\n"
