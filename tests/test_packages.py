"""Packages that must work, as the index has them, in one environment and by `envtool run`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from urllib.request import ProxyHandler, build_opener

import pytest

from envtool.formats.generation import Record
from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

ENVTOOL = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
PACKAGES = [
    "black",
    "google-cloud-core",
    "googleapis-common-protos",
    "jsonpointer",
    "jupyterlab",
    "matplotlib",
    "numpy",
    "pandas",
    "PyQt6",
    "PyQt6-Qt6",
    "requests",
    "scikit-learn",
    "scipy",
    "setuptools",
]
LIMIT = 120
"""Seconds that a server may take to answer; only a broken one takes longer."""


@dataclass(frozen=True)
class Science:
    """The environment of all these packages."""

    workspace: Workspace
    folder: Path
    environ: Mapping[str, str]
    record: Record

    @property
    def path(self) -> Path:
        return Path(self.workspace.physical(self.record.environment))

    def command(self, *words: str) -> list[str]:
        return [*ENVTOOL, "run", *words]

    def run(self, *words: str) -> str:
        """Return what a command prints in the environment."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def python(self, code: str) -> str:
        return self.run("python", "-c", code)


@pytest.fixture(scope="module")
def science(tmp_path_factory: pytest.TempPathFactory, real_root: Path) -> Science:
    """Lock and switch to the environment, in a root that all workers of this run share."""
    folder = tmp_path_factory.mktemp("science")
    (folder / "envtool.toml").write_text(f"dependencies = {json.dumps(PACKAGES)}\n")
    (folder / "home").mkdir()
    environ = {**os.environ, "ENVTOOL_ROOT": str(real_root), "ENVTOOL_FSYNC": "0"}
    workspace = Workspace(load(environ))
    project = open_project(str(folder))
    workspace.lock(project)
    generation, _ = workspace.switch(project)
    own = {
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(folder / "home"),
        "QT_QPA_PLATFORM": "offscreen",
    }
    return Science(workspace, folder, environ | own, generation.record)


def test_every_package_asked_for_is_there_with_its_metadata(science: Science) -> None:
    code = f"from importlib.metadata import version as v; print(*map(v, {PACKAGES}))"
    versions = {package.name: package.version for package in science.record.packages}
    assert science.python(code).split() == [versions[name.lower()] for name in PACKAGES]


def test_numpy_and_scipy_compute(science: Science) -> None:
    code = """
import numpy as np, scipy.linalg, scipy.optimize, scipy.sparse.linalg
a = np.array([[4.0, 1.0], [1.0, 3.0]])
assert np.allclose(np.linalg.inv(a) @ a, np.eye(2))
assert np.allclose(scipy.linalg.cholesky(a).T @ scipy.linalg.cholesky(a), a)
print(round(scipy.optimize.brentq(lambda x: x * x - 2, 0, 2), 6), int(np.arange(10).sum()))
"""
    assert science.python(code) == "1.414214 45"


def test_pandas_groups_and_reads(science: Science) -> None:
    code = """
import io, pandas as pd
frame = pd.read_csv(io.StringIO("day,n\\n2024-01-01,1\\n2024-01-01,2\\n2024-01-02,5\\n"))
print(frame.groupby("day")["n"].sum().to_dict())
"""
    assert science.python(code) == "{'2024-01-01': 3, '2024-01-02': 5}"


def test_matplotlib_draws_a_plot(science: Science) -> None:
    code = """
import matplotlib.pyplot as plt
plt.plot([1, 4, 9]); plt.title("squares"); plt.savefig("plot.png")
"""
    science.python(code)
    assert (science.folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_scikit_learn_fits(science: Science) -> None:
    code = """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
x, y = load_iris(return_X_y=True)
print(RandomForestClassifier(n_estimators=10, random_state=0).fit(x, y).score(x, y) > 0.95)
"""
    assert science.python(code) == "True"


def test_black_formats_a_file(science: Science) -> None:
    (science.folder / "ugly.py").write_text("x = {  'a':1 }\n")
    science.run("black", "--quiet", "ugly.py")
    assert (science.folder / "ugly.py").read_text() == 'x = {"a": 1}\n'


def test_requests_finds_its_certificates_and_codecs(science: Science) -> None:
    code = """
import os, requests, certifi
assert os.path.isfile(certifi.where())
print(requests.Request("GET", "http://example.org", params={"a": "b c"}).prepare().url)
"""
    assert science.python(code) == "http://example.org/?a=b+c"


def test_qt_finds_its_libraries_in_the_other_wheel(science: Science) -> None:
    code = """
import os
from PyQt6 import QtCore
from PyQt6.QtCore import QLibraryInfo
plugins = QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)
assert os.path.isdir(plugins), plugins
print(QtCore.QT_VERSION_STR.split(".")[0], QtCore.QCoreApplication([]).applicationName() != None)
"""
    assert science.python(code) == "6 True"
    site = next(science.path.glob("lib/python3*/site-packages"))
    assert not (site / "PyQt6").is_symlink()
    assert (site / "PyQt6/Qt6").is_symlink() or (site / "PyQt6/Qt6").is_dir()


def test_namespace_of_google_is_whole(science: Science) -> None:
    code = """
import google.cloud.client, google.api.annotations_pb2, google.protobuf, google.auth, google.rpc
from google.cloud._helpers import UTC
print(sorted(name for name in ("api", "auth", "cloud", "protobuf") if hasattr(google, name)))
"""
    assert science.python(code) == "['api', 'auth', 'cloud', 'protobuf']"


def test_path_file_of_setuptools_takes_effect(science: Science) -> None:
    code = "import distutils; print('setuptools' in distutils.__file__)"
    assert science.python(code) == "True"


def test_script_of_a_data_folder_gets_the_environments_python(science: Science) -> None:
    (science.folder / "data.json").write_text('{"a": [1, 2]}')
    assert science.run("jsonpointer", "/a/1", "data.json") == "2"
    text = (science.path / "bin/jsonpointer").read_text()
    assert text.startswith((f"#!{science.path}/bin/python\n", "#!/bin/sh\n"))


def test_data_files_reach_the_prefix(science: Science) -> None:
    shown = science.python("import sys; print(sys.prefix)")
    assert shown == str(science.path)
    assert (science.path / "share/jupyter/kernels/python3/kernel.json").is_file()
    assert (science.path / "share/jupyter/lab/static/index.html").is_file()
    assert (science.path / "etc/jupyter/jupyter_server_config.d").is_dir()


@pytest.fixture
def lab(science: Science) -> Iterator[str]:
    """Start JupyterLab; give the URL it prints, with its token."""
    home = str(science.folder / "home")
    directories = {f"JUPYTER_{name}_DIR": home for name in ("CONFIG", "DATA", "RUNTIME")}
    command = science.command(
        "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"
    )
    with subprocess.Popen(
        command,
        cwd=science.folder,
        env={**science.environ, **directories, "HOME": home, "IPYTHONDIR": home},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield answering(process)
        finally:
            process.kill()


def answering(process: "subprocess.Popen[str]") -> str:
    """Return the URL that the server prints as soon as somebody listens there."""
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/lab\?token=\w+", line):
            break
    else:
        pytest.fail(told)
    # It is printed a moment before the port is open.
    while process.poll() is None:
        with socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(found[1]))) == 0:
                return found[0]
    raise AssertionError(process.stderr.read())


def test_jupyterlab_starts_and_answers_its_page(lab: str) -> None:
    opener = build_opener(ProxyHandler({}))
    with opener.open(lab, timeout=LIMIT) as answer:
        assert answer.status == 200
        assert "<title>JupyterLab</title>" in answer.read().decode()
    with opener.open(lab.replace("/lab?", "/api/kernelspecs?"), timeout=LIMIT) as answer:
        assert "python3" in json.load(answer)["kernelspecs"]


def test_nothing_of_all_this_wrote_into_the_store(science: Science) -> None:
    outputs = [package.path for package in science.record.packages if package.path]
    written = [
        path
        for output in outputs
        for path in Path(science.workspace.physical(output)).rglob("__pycache__")
    ]
    assert outputs
    assert written == []
