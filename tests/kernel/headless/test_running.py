"""Headless runs: what comes of them, and what is told when nothing does."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import DeclarationError, EnvtoolError, KernelError, ResolutionError
from envtool.formats.declarations.notebook import lock_text
from envtool.formats.nix.hashing import Hash
from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook, run_notebooks
from envtool.machine.project import Project
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare  # noqa: TID251 - tests/kernel, not kernel/

from fixtures.notebooks import BLOCK, PROGRAM, Notes, nbformat, read, text_of, write


def test_the_copy_has_outputs_lock_and_origin_and_the_notebook_nothing_new(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK + "print(six.__name__)", "1 + 1")
    before = Path(project.path).read_bytes()
    done = run_notebook(workspace, project)
    assert done.output == str(tmp_path / "tarn.executed.ipynb")
    assert (done.generation, done.cells) == (1, 2)
    assert Path(project.path).read_bytes() == before
    copy = read(done.output)
    assert text_of(copy.cells[0]) == "six\n"
    assert copy.cells[1].outputs[0]["data"]["text/plain"] == "2"
    lock = lock_text(Path(done.output).read_text()) or ""
    assert copy.metadata.envtool.run == {
        "environment": done.environment.full(),
        "envtool": "0.1.0",
        "generation": 1,
        "lock": Hash.of(lock.encode()).sri,
        "parameters": {},
        "python": copy.metadata.language_info.version,
        "seconds": round(done.seconds, 3),
    }
    for cell in copy.cells:
        assert 0 <= cell.metadata.envtool.seconds <= done.seconds
        assert 10_000_000 < cell.metadata.envtool.memory < 1_000_000_000
    assert copy.metadata.kernelspec.name == "python3"
    assert copy.metadata.language_info.name == "python"
    assert 'name = "six"' in lock
    assert sorted(os.listdir(tmp_path)) == ["tarn.executed.ipynb", "tarn.ipynb"]


def test_the_copy_runs_in_the_very_same_environment_elsewhere(
    workspace: Workspace, tmp_path: Path
) -> None:
    first = run_notebook(workspace, write(tmp_path / "tarn.ipynb", BLOCK))
    elsewhere = tmp_path / "elsewhere" / "tarn.ipynb"
    elsewhere.parent.mkdir()
    os.rename(first.output, elsewhere)
    second = run_notebook(workspace, open_project("/", file=str(elsewhere)))
    assert second.environment == first.environment


def test_running_again_makes_no_new_generation_until_the_declaration_changes(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "tarn.ipynb"
    assert run_notebook(workspace, write(path, BLOCK)).generation == 1
    assert run_notebook(workspace, write(path, BLOCK, "print('more')")).generation == 1
    changed = BLOCK.replace('"six"', '"six", "iniconfig"')
    assert run_notebook(workspace, write(path, changed)).generation == 2


def test_leaving_a_generation_that_somebody_went_back_to_is_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    notes = Notes()
    watched, path = Workspace(workspace.settings, notes), tmp_path / "tarn.ipynb"
    run_notebook(watched, write(path, BLOCK))
    project = write(path, BLOCK.replace('"six"', '"six", "iniconfig"'))
    assert run_notebook(watched, project).generation == 2
    assert not any("leaving it" in text for text in notes.texts)
    workspace.rollback(project)
    assert run_notebook(watched, project).generation == 2
    assert "note: generation 1 is not what tarn.ipynb declares: leaving it" in notes.texts


def test_cells_run_beside_the_notebook_and_each_is_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    notes = Notes()
    watched = Workspace(workspace.settings, notes)
    project = write(tmp_path / "tarn.ipynb", BLOCK, "", "import os\nprint(os.getcwd())")
    done = run_notebook(watched, project)
    assert text_of(read(done.output).cells[2]) == f"{tmp_path}\n"
    cells = [text for text in notes.texts if text.startswith("cell ")]
    assert cells == ["cell 1/3: import six", "cell 3/3: import os"]
    after = notes.texts[notes.texts.index(cells[-1]) :]
    assert any(str(workspace.settings.root) in text for text in after)
    assert any("kernel install" in text for text in notes.texts)


def test_a_failing_cell_is_named_and_the_outputs_are_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK + "print('before')", "\nleft = 1\nleft / 0")
    with pytest.raises(KernelError) as caught:
        run_notebook(workspace, project)
    told = "cell 2 failed: ZeroDivisionError: division by zero\n    left = 1\n    left / 0"
    assert caught.value.message == told
    kept = tmp_path / "tarn.executed.ipynb"
    assert caught.value.hint == f"the outputs up to there: {kept}"
    copy = read(str(kept))
    assert text_of(copy.cells[0]) == "before\n"
    assert copy.cells[1].outputs[0]["ename"] == "ZeroDivisionError"


def test_a_cell_that_takes_too_long_is_ended(workspace: Workspace, tmp_path: Path) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "import threading\nthreading.Event().wait()")
    with pytest.raises(KernelError, match="cell 2 failed: it took longer than 1 s"):
        run_notebook(workspace, project, Wanted(timeout=1))


def test_a_kernel_that_dies_is_told(workspace: Workspace, tmp_path: Path) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "import os\nos._exit(1)")
    with pytest.raises(KernelError, match="cell 2 failed: the kernel died"):
        run_notebook(workspace, project)


def test_a_notebook_that_declares_nothing_runs_in_its_folders_project(
    workspace: Workspace, declare: "Declare"
) -> None:
    folder = Path(declare("lake", 'dependencies = ["ipykernel", "six"]\n').path).parent
    done = run_notebook(workspace, write(folder / "notes" / "tarn.ipynb", "import six"))
    current = workspace.current(open_project(str(folder)))
    assert current is not None
    assert current[1].environment == done.environment


def test_a_cell_that_cannot_be_read_is_told_by_its_line(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "x = 1\nfor y in")
    with pytest.raises(KernelError, match=r"SyntaxError: invalid syntax \(line 2\)\n"):
        run_notebook(workspace, project)


def test_a_module_that_is_missing_can_be_declared(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "tarn.ipynb"
    with pytest.raises(KernelError, match="No module named 'yaml'") as caught:
        run_notebook(workspace, write(path, BLOCK, "import yaml.nodes"))
    hint = f"if a package provides it: envtool notebook add {path} PyYAML; the outputs up to there"
    assert (caught.value.hint or "").startswith(hint)


def test_a_notebook_without_any_declaration_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "tarn.ipynb"
    with pytest.raises(DeclarationError, match=r"no envtool\.toml or pyproject\.toml") as caught:
        run_notebook(workspace, write(path, "1 + 1"))
    assert caught.value.hint == f"envtool notebook init {path}"
    assert [fault.file for fault in caught.value.faults] == [str(path)]
    assert os.listdir(tmp_path) == ["tarn.ipynb"]


def test_a_declaration_that_does_not_count_is_told(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "tarn.ipynb"
    with pytest.raises(DeclarationError, match=r"cell 2:1: .* counts in the first code cell only"):
        run_notebook(workspace, write(path, "import six", BLOCK))
    with pytest.raises(DeclarationError, match="cell 1:1: the block is not closed by"):
        run_notebook(workspace, write(path, BLOCK.replace("# ///\n", "")))
    notes = Notes()
    watched = Workspace(workspace.settings, notes)
    run_notebook(watched, write(path, BLOCK, BLOCK))
    told = "note: tarn.ipynb, cell 2:1: a `# /// script` block counts in the first code cell only"
    assert any(text.startswith(told) for text in notes.texts)


def test_what_is_no_notebook_is_refused(workspace: Workspace, with_kernel: Project) -> None:
    with pytest.raises(KernelError, match="is not a notebook"):
        run_notebook(workspace, with_kernel)


def test_without_nbclient_the_hint_is_for_the_python_that_lacks_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(KernelError, match="needs the package nbclient") as caught:
        run_notebook(workspace, write(tmp_path / "tarn.ipynb", BLOCK))
    assert caught.value.hint == f"{sys.executable} -m pip install nbclient"


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_done(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK)
    with pytest.raises(KernelError, match=r"cannot be written: .*/tarn\.ipynb is no folder"):
        run_notebook(workspace, project, Wanted(output=f"{project.path}/no/folder.ipynb"))
    assert workspace.current(project) is None


def test_the_folder_of_an_output_is_made(workspace: Workspace, tmp_path: Path) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK)
    named = tmp_path / "results" / "new" / "today.ipynb"
    assert run_notebook(workspace, project, Wanted(output=str(named))).output == str(named)
    inside = Wanted(output=str(tmp_path / "results"))
    assert run_notebook(workspace, project, inside).output.endswith("/results/tarn.executed.ipynb")
    fresh = run_notebook(workspace, project, Wanted(output=str(tmp_path / "fresh") + "/")).output
    assert read(fresh).metadata.envtool.run.generation == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_signal_ends_the_kernel_too_and_keeps_what_there_is(
    name: str, workspace: Workspace, tmp_path: Path
) -> None:
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    cell = (
        "import os, threading\n"
        f"open({str(fifo)!r}, 'w').write(str(os.getpid()))\n"
        "threading.Event().wait()"
    )
    write(tmp_path / "tarn.ipynb", BLOCK + "print('before')", cell)
    argv = [*PROGRAM, "notebook", "run", "tarn.ipynb"]
    with subprocess.Popen(
        argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        kernel = int(fifo.read_text())
        process.send_signal(signal.Signals[name])
        _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.Signals[name], told
    assert "Traceback" not in told
    assert not os.path.exists(f"/proc/{kernel}/exe")
    assert text_of(read(str(tmp_path / "tarn.executed.ipynb")).cells[0]) == "before\n"


def test_ctrl_c_ends_a_kernel_that_does_not_begin() -> None:
    waits = "import os, time; print(os.getpid(), flush=True); time.sleep(999)"
    code = (
        "import nbformat, os, sys\n"
        "from envtool.kernel.headless.execution import Execution, perform\n"
        "from envtool.reporting import SilentReporter\n"
        "notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell('1')])\n"
        f"work = Execution(notebook, [sys.executable, '-c', {waits!r}], dict(os.environ), '/tmp')\n"
        "try: perform([work], SilentReporter())\n"
        "except KeyboardInterrupt as ended: print(*ended.args, work.error)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        kernel = int(process.stdout.readline())  # the kernel's, which writes where its starter does
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert told == f"{signal.SIGINT:d} None\n"
    assert not os.path.exists(f"/proc/{kernel}/exe")


def test_the_memory_of_a_cell_is_its_own(workspace: Workspace, tmp_path: Path) -> None:
    big = "x = bytearray(200_000_000); del x"
    done = run_notebook(workspace, write(tmp_path / "tarn.ipynb", BLOCK, big, "1"))
    first, second, third = (cell.metadata.envtool.memory for cell in read(done.output).cells)
    assert second > first + 150_000_000
    assert third < second - 100_000_000


def test_parameters_come_behind_the_defaults_and_are_recorded(
    workspace: Workspace, tmp_path: Path
) -> None:
    notes = Notes()
    project = write(tmp_path / "tarn.ipynb", BLOCK, "lake = 'a'\ndepth = 1", "print(lake, depth)")
    made = nbformat.read(project.path, as_version=4)
    made.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(made, project.path)
    values = {"depth": 31, "tarn": None, "laek": 1}
    watched = Workspace(workspace.settings, notes)
    copy = read(run_notebook(watched, project, Wanted(parameters=values)).output)
    assert copy.cells[2].source == "# Parameters\ndepth = 31\ntarn = None\nlaek = 1"
    assert text_of(copy.cells[3]) == "a 31\n"
    assert copy.metadata.envtool.run.parameters == values
    assert "note: the notebook has no parameter tarn; it has depth, lake" in notes.texts
    assert "note: the notebook has no parameter laek; did you mean lake?" in notes.texts


def test_several_run_at_once_and_one_that_fails_stops_no_other(
    workspace: Workspace, tmp_path: Path
) -> None:
    # Each waits for the other, so they have to run at the same time.
    os.mkfifo(tmp_path / "pipe")
    reads = write(tmp_path / "reads.ipynb", BLOCK, "print(open('pipe').read())")
    writes = write(tmp_path / "writes.ipynb", BLOCK, "open('pipe', 'w').write('met')", "1 / 0")
    (tmp_path / "out").mkdir()
    wanted = Wanted(output=str(tmp_path / "out"), jobs=2)
    done = run_notebooks(workspace, [reads, writes], wanted)
    assert [os.path.basename(run.output) for run in done] == [
        "reads.executed.ipynb",
        "writes.executed.ipynb",
    ]
    assert text_of(read(done[0].output).cells[1]) == "met\n"
    assert (done[0].error, done[0].cells) == (None, 2)
    assert done[1].error is not None
    assert done[1].error.message.startswith("cell 3 failed: ZeroDivisionError")


def test_two_copies_of_one_name_are_refused_before_anything_runs(
    workspace: Workspace, tmp_path: Path
) -> None:
    both = [write(tmp_path / name / "tarn.ipynb", BLOCK) for name in ("a", "b")]
    with pytest.raises(KernelError, match="two of the notebooks would be written to"):
        run_notebooks(workspace, both, Wanted(output=str(tmp_path)))
    with pytest.raises(KernelError, match="is no folder, and several notebooks are written"):
        run_notebooks(workspace, both, Wanted(output=both[0].path))


def test_of_several_the_one_that_cannot_be_begun_is_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    fine = write(tmp_path / "fine.ipynb", BLOCK)
    none = write(tmp_path / "none.ipynb", BLOCK.replace("six", "six>=99"))
    with pytest.raises(ResolutionError, match=f"^{none.path}: no set of versions"):
        run_notebooks(workspace, [fine, none], Wanted())
    assert not (tmp_path / "fine.executed.ipynb").exists()


def test_in_place_the_notebook_gets_its_outputs_unless_somebody_else_wrote_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "print(6 * 7)")
    run_notebook(workspace, project, Wanted(in_place=True))
    assert text_of(read(project.path).cells[1]) == "42\n"
    assert os.listdir(tmp_path) == ["tarn.ipynb"]
    write(tmp_path / "tarn.ipynb", BLOCK, "open('tarn.ipynb', 'a').write(' ')")
    with pytest.raises(EnvtoolError, match="changed by somebody else meanwhile"):
        run_notebook(workspace, project, Wanted(in_place=True))


def test_outputs_of_an_earlier_run_do_not_stay_behind_a_failure(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "1 / 0", "print('old')")
    made = nbformat.read(project.path, as_version=4)
    made.cells[2].outputs = [nbformat.v4.new_output("stream", text="old\n")]
    nbformat.write(made, project.path)
    with pytest.raises(KernelError, match="cell 2 failed"):
        run_notebook(workspace, project)
    assert read(str(tmp_path / "tarn.executed.ipynb")).cells[2].outputs == []


def test_what_cannot_be_run_is_told_with_its_place(workspace: Workspace, tmp_path: Path) -> None:
    two = BLOCK + BLOCK
    for cell, told in (
        (two, "a second `# /// script` block"),
        (BLOCK.replace("dependencies", "dependancies"), "dependancies"),
        (BLOCK.replace('"six"', '"six"; x'), "not TOML"),
    ):
        path = tmp_path / "tarn.ipynb"
        with pytest.raises(EnvtoolError, match=re.escape(told)) as caught:
            run_notebook(workspace, write(path, cell))
        assert f"{path}, cell 1" in caught.value.message


def test_a_stale_lock_is_mentioned_and_the_copy_gets_one_that_answers(
    workspace: Workspace, tmp_path: Path
) -> None:
    notes = Notes()
    project = write(tmp_path / "tarn.ipynb", BLOCK)
    workspace.lock(project)
    text = Path(project.path).read_text()
    Path(project.path).write_text(text.replace('[\\"six\\"]', '[\\"six\\", \\"iniconfig\\"]'))
    done = run_notebook(Workspace(workspace.settings, notes), project)
    assert "note: the lock of tarn.ipynb is not for its declaration: the copy gets a new one" in (
        notes.texts
    )
    assert 'name = "iniconfig"' in (lock_text(Path(done.output).read_text()) or "")
