"""The kernels' common test suite (jupyter_kernel_test), on the fast path and through the relay."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import jupyter_kernel_test as suite
import pytest

from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

CODE = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"
SAMPLES = {
    "language_name": "python",
    "file_extension": ".py",
    "code_hello_world": "print('hello, world')",
    "code_stderr": "import sys; print('test', file=sys.stderr)",
    "completion_samples": [{"text": "zi", "matches": {"zip"}}],
    "complete_code_samples": ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"],
    "incomplete_code_samples": ["print('''hello", "def f(x):\n  x*2"],
    "invalid_code_samples": ["import = 7q"],
    "code_page_something": "zip?",
    "code_generate_error": "raise",
    "code_execute_result": [
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    ],
    "code_display_data": [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
    ],
    "code_history_pattern": "1?2*",
    # `range` fails with ipykernel itself.
    "supported_history_operations": ("tail", "search"),
    "code_inspect_sample": "zip",
    "code_clear_output": "from IPython.display import clear_output; clear_output()",
    "support_iopub_welcome": True,
}


@pytest.fixture(scope="module", autouse=True)
def kernels(real_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Offer `fast`, whose environment is there, and `relay…`, whose environments are not."""
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENVTOOL_ROOT", str(real_root))
        patch.setenv("ENVTOOL_FSYNC", "0")
        patch.setenv("JUPYTER_DATA_DIR", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "run"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        workspace = Workspace(load(os.environ))
        for name in ("fast", "relay", "relay-welcome"):
            path = folder / name / "envtool.toml"
            path.parent.mkdir()
            path.write_text('dependencies = ["ipykernel"]\n')
            offer(folder / "kernels" / name, str(path))
        workspace.switch(open_project(str(folder / "fast")))
        yield


def offer(directory: Path, declaration: str) -> None:
    argv = [sys.executable, "-c", CODE, "--declaration", declaration, "-f", "{connection_file}"]
    told = {"argv": argv, "display_name": "s", "language": "python", "interrupt_mode": "message"}
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(json.dumps(told))


class TestFast(suite.KernelTests):  # type: ignore[misc]
    kernel_name = "fast"
    vars().update(SAMPLES)


class TestFastWelcome(suite.IopubWelcomeTests):  # type: ignore[misc]
    kernel_name = "fast"
    support_iopub_welcome = True


class TestRelay(suite.KernelTests):  # type: ignore[misc]
    kernel_name = "relay"
    vars().update(SAMPLES)

    @classmethod
    def setUpClass(cls) -> None:
        """Let the progress be shown in a cell that the suite does not count the outputs of."""
        super().setUpClass()
        cls.kc.execute_interactive("1", store_history=False, timeout=60)


class TestRelayWelcome(suite.IopubWelcomeTests):  # type: ignore[misc]
    kernel_name = "relay-welcome"
    support_iopub_welcome = True
