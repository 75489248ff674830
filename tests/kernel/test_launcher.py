import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.kernel.entering import magics_folder, variables
from envtool.kernel.specs import kernelspec
from envtool.machine.collecting.retention import Retention
from envtool.machine.project import Project
from envtool.values import replace
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare, Spec, Start  # noqa: TID251 - tests/kernel, not kernel/

HEAVY = {
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "enum",
    "functools",
    "http.client",
    "json",
    "jupyter_client",
    "packaging",
    "re",
    "rich",
    "sqlite3",
    "subprocess",
    "tomlkit",
    "tomllib",
    "typing",
    "zmq",
}
"""What starting a realised kernel must not pay for."""


def test_everything_in_a_kernel_agrees_where_it_runs(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start"
) -> None:
    current = workspace.current(with_kernel)
    assert current is not None
    python = f"{workspace.physical(current[1].environment)}/bin/python"
    kernel = start(installed)
    assert kernel.printed("import sys; print(sys.executable)") == f"{python}\n"
    assert kernel.printed("!which python") == f"{python}\n"
    assert kernel.printed("!python -c 'import sys; print(sys.executable)'") == f"{python}\n"
    assert kernel.printed("import os; print(os.environ['ENVTOOL_GENERATION'])") == "1\n"


def test_nothing_of_envtools_own_is_importable_in_a_kernel(installed: str, start: "Start") -> None:
    code = "from importlib.util import find_spec; print([n for n in {} if find_spec(n)])"
    kernel = start(installed)
    names = ["envtool.workspace", "envtool.cli", "tomlkit", "rich", "nbclient", "pytest"]
    assert kernel.printed(code.format(names)) == "[]\n"


def test_the_hosts_python_variables_do_not_reach_a_kernel(
    installed: str, start: "Start", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intruder = tmp_path / "host" / "intruder.py"
    intruder.parent.mkdir()
    intruder.write_text("")
    monkeypatch.setenv("PYTHONPATH", str(intruder.parent))
    monkeypatch.setenv("PYTHONSTARTUP", str(intruder))
    kernel = start(installed)
    code = "from importlib.util import find_spec; import os; print(find_spec('intruder'), {})"
    assert kernel.printed(code.format("os.environ.get('PYTHONSTARTUP')")) == "None None\n"


def test_closure_of_a_running_kernel_is_kept_from_the_collector(
    workspace: Workspace, declare: "Declare", jupyter: Path, start: "Start"
) -> None:
    assert jupyter
    # No other test has an environment of this name.
    project = declare("dune", 'dependencies = ["ipykernel"]\n')
    generation, _ = workspace.switch(project)
    environment = generation.record.environment
    closure = set(workspace.store.closure([environment]))
    kernel = start(kernelspec.install(workspace, project).name)
    workspace.profile(project).set(workspace.store.add_text("another-generation", b""))
    pruned = workspace.prune(Retention(), project)
    assert [each.number for each in pruned] == [1]
    assert closure.isdisjoint(path for path, _ in workspace.gc_plan().dead)
    assert kernel.printed("import json.tool; print(json.tool.__name__)") == "json.tool\n"
    kernel.end()
    assert environment in {path for path, _ in workspace.gc_plan().dead}


def test_an_interrupt_ends_the_cell_and_not_the_kernel(installed: str, start: "Start") -> None:
    kernel = start(installed)
    kernel.printed("kept = 6 * 7")

    def interrupt(message: dict[str, object]) -> None:
        if message["msg_type"] == "stream":
            kernel.manager.interrupt_kernel()

    reply = kernel.client.execute_interactive(
        "import threading; print('waiting', flush=True); threading.Event().wait(60)",
        timeout=60,
        output_hook=interrupt,
    )
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.printed("print(kept)") == "42\n"


def test_a_restart_enters_the_generation_that_is_current_then(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start"
) -> None:
    kernel = start(installed)
    code = "import os; print(os.environ['ENVTOOL_GENERATION'])"
    assert kernel.printed(code) == "1\n"
    workspace.add(with_kernel, ["six"])
    kernel.restart()
    assert kernel.printed(code) == "2\n"
    assert kernel.printed("import six; print(six.__name__)") == "six\n"


def test_a_kernel_without_a_generation_makes_the_first_one(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start"
) -> None:
    profile = workspace.profile(with_kernel).directory
    for name in os.listdir(profile):
        os.unlink(f"{profile}/{name}")
    assert workspace.current(with_kernel) is None
    kernel = start(installed)
    assert kernel.printed("print(6 * 7)") == "42\n"
    assert workspace.current(with_kernel) is not None


def test_starting_a_realised_kernel_imports_nothing_heavy(
    with_kernel: Project, tmp_path: Path
) -> None:
    code = (
        "import os, sys\n"
        "os.execve = lambda *told: sys.exit(repr([told[:2], sorted(sys.modules)]))\n"
        "from envtool.kernel.launcher import main\n"
        f"main(['--declaration', {with_kernel.path!r}, '-f', 'connection.json'])\n"
    )
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    # Once before, so that the magics are in the store.
    subprocess.run(argv, check=False, capture_output=True)
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    (program, words), modules = ast.literal_eval(done.stderr)
    assert words[1] == "-c"
    assert "ipykernel_launcher" in words[2]
    assert words[-2:] == ["-f", "connection.json"]
    assert program == words[0]
    assert HEAVY & set(modules) == set()


SEEN = """
import gc, sys, __main__
here = [each for each in sys.path if not each.endswith(("-envtool-magics", "/lib/envtool"))]
names = sorted(name for name in vars(__main__) if name not in {"here", "names"})
young = len(gc.get_objects(generation=0)) < 50_000
print([gc.isenabled(), gc.get_threshold(), young, sys.argv[0], here, names])
"""


def test_a_kernel_is_as_ipykernel_launcher_would_have_it(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start", jupyter: Path
) -> None:
    current = workspace.current(with_kernel)
    assert current is not None
    python = f"{workspace.physical(current[1].environment)}/bin/python"
    plain = jupyter / "kernels/plain"
    plain.mkdir(parents=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "plain", "language": "python"}
    (plain / "kernel.json").write_text(json.dumps(spec))
    ours, theirs = (ast.literal_eval(start(name).printed(SEEN)) for name in (installed, plain.name))
    assert ours == theirs
    assert ours[:1] + ours[2:3] == [True, True]
    assert ours[3].endswith("/ipykernel_launcher.py")


def test_the_users_own_threshold_of_the_collector_stays(
    installed: str, start: "Start", tmp_path: Path
) -> None:
    startup = tmp_path / "ipython/profile_default/startup/gc.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("import gc; gc.set_threshold(12345, 6, 7)")
    assert start(installed).printed("import gc; print(gc.get_threshold())") == "(12345, 6, 7)\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-f"], ["-c", "import sys"]])
def test_unknown_words_end_at_once_with_the_usage(words: list[str]) -> None:
    code = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: envtool-kernel [--declaration PATH")


# The kernel that explains


def test_a_cell_tells_what_is_wrong_and_what_mends_it(
    without_kernel: Project, spec: "Spec", start: "Start"
) -> None:
    kernel = start(spec("--declaration", without_kernel.path))
    content, _ = kernel.run("1 + 1")
    assert content["status"] == "error"
    assert content["ename"] == "KernelError"
    assert "has no ipykernel" in content["evalue"]
    told = "\n".join(content["traceback"])
    assert f"envtool -f {without_kernel.path} add ipykernel" in told
    assert content["execution_count"] == 1


def test_every_kind_of_failure_is_told_in_the_cell(
    workspace: Workspace, declare: "Declare", spec: "Spec", start: "Start"
) -> None:
    project = declare("wrong", 'dependencies = ["numpy ==="]\ndependecies = []\n')
    kernel = start(spec("--declaration", project.path))
    content, _ = kernel.run("1 + 1")
    assert content["ename"] == "DeclarationError"
    assert "dependecies" in content["evalue"]


def test_a_missing_declaration_is_told_in_the_cell(
    workspace: Workspace, spec: "Spec", tmp_path: Path, start: "Start"
) -> None:
    kernel = start(spec("--declaration", str(tmp_path / "gone" / "envtool.toml")))
    content, _ = kernel.run("1 + 1")
    assert content["status"] == "error"
    assert "gone/envtool.toml: no such file" in content["evalue"]


def test_silent_code_succeeds_so_that_front_ends_come_to_the_first_cell(
    without_kernel: Project, spec: "Spec", start: "Start"
) -> None:
    kernel = start(spec("--declaration", without_kernel.path))
    content, _ = kernel.run("setup()", silent=True, store_history=False)
    assert content["status"] == "ok"


def test_the_explaining_kernel_answers_whatever_a_front_end_asks(
    without_kernel: Project, spec: "Spec", start: "Start"
) -> None:
    client = start(spec("--declaration", without_kernel.path)).client
    assert client.complete("pri", 3, reply=True, timeout=60)["content"]["cursor_start"] == 3
    assert client.inspect("print", reply=True, timeout=60)["content"]["found"] is False
    assert client.is_complete("1")
    assert client.history(reply=True, timeout=60)["content"]["history"] == []
    assert client.comm_info(reply=True, timeout=60)["content"]["comms"] == {}
    info = client.kernel_info(reply=True, timeout=60)["content"]
    assert info["implementation"] == "envtool"
    assert client.hb_channel.is_beating()


def test_the_explaining_kernel_shuts_down_when_asked(
    without_kernel: Project, spec: "Spec", start: "Start"
) -> None:
    kernel = start(spec("--declaration", without_kernel.path))
    provisioner = kernel.manager.provisioner
    assert provisioner is not None
    process = provisioner.process  # type: ignore[attr-defined]
    kernel.manager.interrupt_kernel()
    reply = kernel.client.shutdown(reply=True, timeout=60)
    assert reply["content"] == {"status": "ok", "restart": False}
    assert process.wait(60) == 0


def test_a_kernel_that_was_mended_works_after_a_restart(
    workspace: Workspace, without_kernel: Project, spec: "Spec", start: "Start"
) -> None:
    kernel = start(spec("--declaration", without_kernel.path))
    assert kernel.run("1 + 1")[0]["status"] == "error"
    workspace.add(without_kernel, ["ipykernel"])
    kernel.restart()
    assert kernel.printed("print(6 * 7)") == "42\n"


# The magics


def test_a_store_that_takes_no_object_gives_a_kernel_without_magics(
    workspace: Workspace, with_kernel: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (magics_folder(workspace) or "").startswith(workspace.settings.store)
    current = workspace.current(with_kernel)
    assert current is not None
    root = tmp_path / "root"
    root.mkdir()
    (root / "store").symlink_to(workspace.settings.store)
    (root / "var").write_text("a file, not a folder")
    refusing = Workspace(replace(workspace.settings, root=str(root)))
    entered = variables(refusing, with_kernel, *current, {})
    assert entered["PYTHONPATH"].endswith("/lib/envtool")
