"""`%envtool` in real kernels."""

import hashlib
import json
import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.formats.declarations.editing.template import template
from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook
from envtool.kernel.specs import kernelspec
from envtool.machine.project import Project
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare, Session, Start  # noqa: TID251 - tests/kernel


Message = dict[str, Any]


@pytest.fixture
def kernel(installed: str, start: "Start") -> "Session":
    """Return a kernel of a project that declares ipykernel only."""
    return start(installed)


def refused(kernel: "Session", code: str) -> str:
    """Return what a cell is refused with."""
    content, _ = kernel.run(code)
    assert content["status"] == "error", content
    assert content["ename"] == "Refused"
    return "\n".join(content["traceback"])


def shown(kernel: "Session", code: str) -> str:
    """Return the text that the one output of a cell shows in the end."""
    texts: list[str] = []

    def keep(message: Message) -> None:
        if message["msg_type"] == "display_data":
            texts.append("")
        if message["msg_type"] in {"display_data", "update_display_data"}:
            texts[-1] = message["content"]["data"]["text/plain"]
        assert message["msg_type"] != "error", message["content"]

    kernel.client.execute_interactive(code, timeout=60, output_hook=keep)
    (text,) = texts
    return text


def table(kernel: "Session", line: str) -> str:
    """Return the text of what a line shows as its result."""
    return kernel.printed(f"print(get_ipython().run_line_magic('envtool', {line!r}))")


def test_it_shows_the_environment_of_the_kernel(
    workspace: Workspace, with_kernel: Project, kernel: "Session"
) -> None:
    status = table(kernel, "status")
    assert "this kernel runs in generation 1\n" in status
    assert with_kernel.path in status
    assert "ipykernel → traitlets" in table(kernel, "why traitlets")
    tree = "get_ipython().run_line_magic('envtool', 'tree')._repr_html_()"
    assert ">ipykernel</td>" in kernel.printed(f"print({tree})")
    workspace.add(with_kernel, ["six"])
    assert "the current one is 2: restart the kernel" in table(kernel, "")


def test_it_refuses_with_the_reason_and_without_a_traceback(kernel: "Session") -> None:
    assert "nothing in the declaration" in refused(kernel, "%envtool why nonsense")
    told = "there is no `%envtool dance`; `%envtool help` shows what there is"
    assert refused(kernel, "%envtool dance") == f"envtool: {told}"
    assert refused(kernel, "%envtool ad six").endswith("did you mean `%envtool add`?")
    assert refused(kernel, "%envtool why").endswith("usage: %envtool why NAME")
    assert "not-a-package-of-anyone" in refused(kernel, "%envtool add not-a-package-of-anyone")
    assert refused(kernel, "%envtool diff 1 9").endswith("\n%envtool generations")


def test_help_tells_what_there_is(kernel: "Session") -> None:
    whole = table(kernel, "help")
    assert "%envtool rollback [N]" in whole
    for words in ("add --help", "add six -h", "help add"):
        assert table(kernel, words).startswith("%envtool add REQ…\ndeclare packages")
    kernel.printed("from envtool.magics import commands as c, helping as h")
    code = "print(*c.COMMANDS); print(*h.USAGES)"
    commands, usages = (set(line.split()) for line in kernel.printed(code).splitlines())
    assert commands - usages == {"help"}
    assert usages < commands


def test_going_to_what_is_there_already_is_told_as_what_it_is(kernel: "Session") -> None:
    shown(kernel, "%envtool add iniconfig")
    assert shown(kernel, "%envtool switch").startswith(
        "nothing to do: generation 2 is what is declared\n"
    )
    shown(kernel, "%envtool rollback")
    assert table(kernel, "diff").startswith("generation 1 has none before it")
    assert shown(kernel, "%envtool switch").startswith("generation 2: +1\n")


def test_what_is_added_can_be_imported_at_once_and_goes_with_a_rollback(
    with_kernel: Project, kernel: "Session"
) -> None:
    told = shown(kernel, "%envtool add iniconfig")
    assert told.startswith("generation 2: +1\n")
    assert "+  iniconfig  " in told
    assert told.endswith("no restart needed")
    assert 'dependencies = ["ipykernel", "iniconfig"]' in Path(with_kernel.path).read_text()
    # Importing it leaves it loaded, which a rollback would then have to respect.
    found = "from importlib.util import find_spec; print(find_spec('iniconfig') is not None)"
    assert kernel.printed(found) == "True\n"
    assert kernel.printed("!python -c 'import iniconfig; print(6 * 7)'") == "42\n"
    assert "this kernel runs in generation 2\n" in table(kernel, "status")
    assert shown(kernel, "%envtool rollback  # to 1").endswith("no restart needed")
    assert kernel.printed(found) == "False\n"
    assert kernel.printed("import os; print(os.environ['ENVTOOL_GENERATION'])") == "1\n"


def test_an_added_module_is_the_one_of_the_new_generation(kernel: "Session") -> None:
    shown(kernel, "%envtool add iniconfig")
    kernel.printed("import iniconfig")
    place = "import os; print(os.environ['ENVTOOL_ENVIRONMENT'] in iniconfig.__file__)"
    assert kernel.printed(place) == "True\n"
    version = "from importlib.metadata import version; print(version('iniconfig'))"
    assert kernel.printed(version)[0].isdigit()


def test_what_is_loaded_and_changes_needs_a_restart_and_stays_until_then(
    workspace: Workspace, declare: "Declare", jupyter: Path, start: "Start"
) -> None:
    project = declare("old", 'dependencies = ["ipykernel", "iniconfig<2"]\n')
    workspace.switch(project)
    kernel = start(kernelspec.install(workspace, project).name)
    assert kernel.printed("import iniconfig; print(iniconfig.__name__)") == "iniconfig\n"
    told = shown(kernel, "%envtool add 'iniconfig>=2'")
    assert "~  iniconfig  1.1.1 → 2" in told
    assert "restart the kernel to enter it: iniconfig changes and is loaded" in told
    assert told.endswith("as generation 1 has it")
    version = "from importlib.metadata import version; print(version('iniconfig'))"
    assert kernel.printed(version) == "1.1.1\n"
    kernel.restart()
    assert kernel.printed(version).startswith("2")
    assert "this kernel runs in generation 2\n" in table(kernel, "status")


def test_what_is_not_loaded_may_change_without_a_restart(
    workspace: Workspace, declare: "Declare", jupyter: Path, start: "Start"
) -> None:
    project = declare("old", 'dependencies = ["ipykernel", "iniconfig<2"]\n')
    workspace.switch(project)
    kernel = start(kernelspec.install(workspace, project).name)
    shown(kernel, "%envtool add 'iniconfig>=2'")
    version = "from importlib.metadata import version; print(version('iniconfig'))"
    assert kernel.printed(version).startswith("2")
    assert "~  iniconfig  1.1.1 → 2" in table(kernel, "diff 1 2")


def test_what_cannot_be_added_leaves_no_output_and_no_change(
    with_kernel: Project, kernel: "Session"
) -> None:
    before = Path(with_kernel.path).read_text()
    assert "not-a-package-of-anyone" in refused(kernel, "%envtool add not-a-package-of-anyone")
    assert Path(with_kernel.path).read_text() == before
    assert "this kernel runs in generation 1\n" in table(kernel, "status")


def test_a_cell_can_be_the_declaration(with_kernel: Project, kernel: "Session") -> None:
    told = shown(kernel, '%%envtool\ndependencies = ["ipykernel", "iniconfig"]\n')
    assert told.startswith("generation 2: +1\n")
    assert kernel.printed("import iniconfig; print(iniconfig.__name__)") == "iniconfig\n"
    assert Path(with_kernel.path).read_text() == 'dependencies = ["ipykernel", "iniconfig"]\n'
    assert "declaration:1: not TOML" in refused(kernel, "%%envtool\ndependencies = [\n")


@pytest.fixture
def tarn(workspace: Workspace, tmp_path: Path) -> Project:
    """Return a notebook with a declaration in its first cell, realised."""
    path = tmp_path / "tarn.ipynb"
    path.write_text(template("tarn", "3.11", "notebook-cell").replace("==3.11.*", ">=3.11"))
    project = open_project("/", file=str(path))
    workspace.switch(project)
    return project


def test_a_notebook_of_its_own_gets_the_cells_block(
    tarn: Project, workspace: Workspace, jupyter: Path, start: "Start"
) -> None:
    path = Path(tarn.path)
    kernel = start(kernelspec.install(workspace, tarn).name)
    told = shown(kernel, '%%envtool\n# /// script\n# dependencies = ["iniconfig"]\n# ///')
    assert "the notebook's file has changed on the disk: reload it before you go on" in told
    assert '"# dependencies = [\\"iniconfig\\"]' in path.read_text()
    assert kernel.printed("import iniconfig; print(iniconfig.__name__)") == "iniconfig\n"


def test_an_editor_has_to_save_a_notebook_before_its_file_changes(
    tarn: Project, workspace: Workspace, jupyter: Path, start: "Start"
) -> None:
    path = Path(tarn.path)
    client = start(kernelspec.install(workspace, tarn).name).client

    def add_by_editor() -> Message:
        content = {"code": "%envtool add iniconfig", "silent": False}
        asked = client.session.msg("execute_request", content, metadata={"cellId": "added"})
        client.shell_channel.send(asked)
        while True:
            answer: Message = client.get_shell_msg(timeout=60)
            if answer["parent_header"]["msg_id"] == asked["header"]["msg_id"]:
                return dict(answer["content"])

    before = path.read_text()
    assert "save the notebook first" in add_by_editor()["evalue"]
    assert path.read_text() == before
    notebook = json.loads(before)
    notebook["cells"].append({**notebook["cells"][0], "source": ["%envtool add iniconfig\n"]})
    path.write_text(json.dumps(notebook))
    assert add_by_editor()["status"] == "ok"
    assert '\\"iniconfig\\"' in path.read_text()


def test_outputs_of_another_closure_are_told(
    workspace: Workspace, tmp_path: Path, jupyter: Path, start: "Start"
) -> None:
    path = tmp_path / "tarn.ipynb"
    path.write_text(template("tarn", "3.11", "notebook-cell").replace("==3.11.*", ">=3.11"))
    project = open_project("/", file=str(path))
    made = run_notebook(workspace, project, Wanted(in_place=True))
    kernel = start(kernelspec.install(workspace, project).name)
    assert "another closure" not in table(kernel, "status")
    shown(kernel, "%envtool add iniconfig")
    told = f"the outputs in the file were made in another closure: {made.environment.full()}"
    assert told in table(kernel, "status")


def test_data_are_fetched_by_hash_and_their_path_can_be_kept(
    kernel: "Session", tmp_path: Path, workspace: Workspace
) -> None:
    data = tmp_path / "lake data.csv"
    data.write_text("depth\n31\n")
    digest = "sha256-" + b64encode(hashlib.sha256(data.read_bytes()).digest()).decode()
    url = data.as_uri()
    assert f"%envtool fetch {url} {digest}\n" in kernel.printed(f"x = %envtool fetch {url}")
    told = shown(kernel, f"x = %envtool fetch {url} {digest}")
    assert told.startswith("lake%20data.csv is /envtool/store/")
    assert kernel.printed(f"path = %envtool fetch {url} {digest}\nprint(open(path).read())") == (
        "depth\n31\n\n"
    )
    data.unlink()  # it is in the store, and stays there
    assert kernel.printed(f"path = %envtool fetch {url} {digest}\nprint(path)").startswith(
        workspace.settings.store
    )
    wrong = "sha256-" + b64encode(bytes(32)).decode()
    assert "cannot be read" in refused(kernel, f"%envtool fetch {url} {wrong}")


def test_a_line_of_shell_runs_in_the_current_generation(
    with_kernel: Project, kernel: "Session"
) -> None:
    assert kernel.printed("%envtool shell echo $ENVTOOL_GENERATION '| tr 1 2'") == "2\n"
    assert "`false` ended with 1" in refused(kernel, "%envtool shell false")
    told = table(kernel, "shell")
    assert told.startswith("in a terminal: `")
    assert with_kernel.path in told


def test_it_can_be_loaded_by_its_name(kernel: "Session") -> None:
    kernel.printed("%reload_ext envtool")
    assert "generation 1" in table(kernel, "status")
    completed = kernel.client.complete("%envtool ro", reply=True, timeout=60)
    assert "rollback" in completed["content"]["matches"]


def test_pip_install_is_answered_and_never_started(kernel: "Session", tmp_path: Path) -> None:
    program = tmp_path / "pip"
    program.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/started\n")
    program.chmod(0o755)
    kernel.printed(f"import os; os.environ['PATH'] = '{tmp_path}:' + os.environ['PATH']")
    for line in (
        "!pip install -q 'colour>=1' > /dev/null",
        "%pip install 'colour>=1'",
        "!python -m pip install 'colour>=1'",
        "!uv pip install 'colour>=1'",
    ):
        assert refused(kernel, line).endswith("\n%envtool add 'colour>=1'"), line
    assert refused(kernel, "!pip install -r all.txt").endswith("\n%envtool add NAME")
    assert refused(kernel, "!pip install -e ..").endswith("\n%envtool add --editable ..")
    assert refused(kernel, "!pip install ipykernel && ls").endswith("take that out of the line")
    told = kernel.printed("!pip install -q ipykernel 2>/dev/null")
    assert told.startswith("ipykernel ")
    assert told.endswith(": there already, nothing is installed\n")
    assert not (tmp_path / "started").exists()
    kernel.printed("!pip --version")
    kernel.printed("!pip install -t x y")
    assert (tmp_path / "started").read_text() == "--version\ninstall -t x y\n"


def test_it_costs_a_kernel_little(kernel: "Session") -> None:
    code = "import sys; print(sorted(n for n in sys.modules if n.partition('.')[0] == 'envtool'))"
    names = ["", ".commands", ".installing", ".moving", ".noticing", ".program", ".shown"]
    expected = ["envtool", *(f"envtool.magics{name}" for name in names)]
    assert kernel.printed(code) == f"{expected}\n"


def replace_program(kernel: "Session", path: Path, text: str) -> None:
    """Let the kernel's magics ask a program of ours."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    kernel.printed(f"import os; os.environ['ENVTOOL_PROGRAM'] = {str(path)!r}")


def test_an_interrupt_ends_the_program_and_the_kernel_lives(
    kernel: "Session", tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "ready")
    os.mkfifo(tmp_path / "never")
    waits = f"trap 'echo ended > {tmp_path}/told; exit 130' INT\necho $$ > {tmp_path}/ready\n"
    replace_program(kernel, tmp_path / "program", f"{waits}read x < {tmp_path}/never")
    # Or the kernel might drop, with this cell, what is sent soon after it.
    message = kernel.client.execute("%envtool add something", stop_on_error=False)
    assert int((tmp_path / "ready").read_text()) > 1
    kernel.manager.interrupt_kernel()
    reply = kernel.client._recv_reply(message, timeout=60)["content"]
    assert (reply["ename"], reply["evalue"].partition(";")[0]) == ("Refused", "interrupted")
    assert (tmp_path / "told").read_text() == "ended\n"
    assert kernel.printed("print(6 * 7)") == "42\n"


def test_a_program_that_is_gone_or_talks_nonsense_is_told(
    kernel: "Session", tmp_path: Path
) -> None:
    replace_program(kernel, tmp_path / "program", "echo hello; echo cannot >&2")
    assert refused(kernel, "%envtool tree") == "envtool: cannot"
    assert refused(kernel, "%envtool add six") == "envtool: cannot"
    (tmp_path / "program").unlink()
    gone = f"envtool: there is no program {tmp_path}/program any more"
    assert refused(kernel, "%envtool tree") == gone
    assert refused(kernel, "%envtool add six") == gone
