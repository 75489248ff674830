"""Several at once in one project and one store: two that add, one that edits, one that collects."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.errors import DeclarationError
from envtool.machine.settings import load
from envtool.reporting import SilentReporter, Step
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.plan.answer import Answer
    from envtool.plan.evaluate import Evaluation

MAIN = "import sys; from envtool.cli import main; sys.exit(main())"


@pytest.fixture
def declaration(place: Any, index: Any, make_wheel: Any) -> Path:
    """Offer alpha and beta, and return the declaration's file, which asks for neither."""
    index.add(make_wheel("alpha", "1.0"))
    index.add(make_wheel("beta", "1.0"))
    path: Path = place.project / "envtool.toml"
    path.write_text(f'dependencies = []\nindex = "{index.url}"\n')
    return path


def test_two_adds_at_once_add_both(declaration: Path, place: Any, envtool: Any) -> None:
    adding = [
        subprocess.Popen(
            [sys.executable, "-c", MAIN, "-q", "add", name], cwd=place.project, env=place.environ
        )
        for name in ("alpha", "beta")
    ]
    assert [each.wait() for each in adding] == [0, 0]
    assert "alpha" in declaration.read_text()
    assert "beta" in declaration.read_text()
    assert envtool("lock", "--check").returncode == 0


def test_edit_made_while_add_works_is_not_overwritten(declaration: Path, place: Any) -> None:
    class Editor(SilentReporter):
        def start(self, step: Step) -> None:
            assert step
            declaration.write_text("# mine\ndependencies = []\n")

    workspace = Workspace(load(place.environ), Editor())
    with pytest.raises(DeclarationError, match="changed by somebody else") as caught:
        workspace.add(place.project_of(), ["alpha"])
    assert caught.value.hint == "run the same command again"
    assert declaration.read_text() == "# mine\ndependencies = []\n"
    assert workspace.current(place.project_of()) is None
    assert not (place.project / "pylock.toml").exists()


def test_collector_does_not_take_what_switch_counts_on(
    declaration: Path, place: Any, envtool: Any
) -> None:
    class Watched(Workspace):
        def _evaluate(self, asked: "Answer") -> "Evaluation":
            planned = super()._evaluate(asked)
            outputs = {package.known.output for package in planned.packages}
            assert envtool("gc").returncode == 0
            assert self.store.database.valid(outputs) == outputs != set()
            return planned

        def _realise(self, asked: "Answer", planned: "Evaluation") -> None:
            super()._realise(asked, planned)
            assert envtool("gc").returncode == 0

    declaration.write_text(declaration.read_text().replace("[]", '["alpha"]', 1))
    Workspace(load(place.environ)).build(place.project_of())
    workspace = Watched(load(place.environ))
    generation, is_new = workspace.switch(place.project_of())
    assert is_new
    assert workspace.store.is_valid(generation.record.environment)
