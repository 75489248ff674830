"""Wheels with an interpreter of Debian: libraries that they lack come from Debian, too."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import MakeExtension, Place, Run

WHEELS = ["opencv-python", "lightgbm", "psycopg2-binary", "PySide6-Essentials", "soundfile"]
WHEELS += ["pyarrow", "shapely", "cryptography", "lxml", "pillow", "h5py"]
CODE = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
import cv2, h5py, lightgbm, lxml.etree, numpy, psycopg2, pyarrow.parquet, shapely, soundfile
import PIL.Image
from cryptography.hazmat.primitives.asymmetric import ed25519
from PySide6.QtWidgets import QApplication, QLabel
application = QApplication([])
label = QLabel("hei")
label.show()
image = numpy.zeros((4, 4, 3), "uint8")
print(
    label.grab().toImage().width() > 0,
    cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).shape,
    shapely.Point(0, 0).buffer(1).area > 3,
    lightgbm.Dataset(image[0], [0] * 4, params={"verbose": -1}).construct().num_data(),
    "WAV" in soundfile.available_formats(),
    len(ed25519.Ed25519PrivateKey.generate().sign(b"")),
)
for line in open("/proc/self/maps"):
    if ".so" in line and "/" in line:
        print(line.split(maxsplit=5)[5].strip())
"""
BUILT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "mine"
version = "1.0"

[tool.setuptools]
packages = ["mine"]
package-data = { mine = ["*.so"] }
"""
MISSING = "libwhat_nobody_has.so.7"


def declare(place: "Place", *names: str, rest: str = "") -> None:
    text = (
        'name = "demo"\npython = "3.11"\ninterpreter = "debian/bookworm"\n'
        f"dependencies = {json.dumps(names)}\n{rest}"
    )
    (place.project / "envtool.toml").write_text(text)


def answer(envtool: "Run", *words: str, code: int = 0) -> Any:
    ended = envtool(*words, "--json")
    assert ended.returncode == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def compiled(folder: Path, needs: Sequence[str], *flags: str) -> bytes:
    """Return an empty library that needs others of these names."""
    folder.mkdir(exist_ok=True)
    base = ["gcc", "-shared", "-nostdlib", "-Wl,--no-as-needed", "-xc", "/dev/null", "-xnone"]
    stubs = [folder / f"stub{number}.so" for number in range(len(needs))]
    for soname, stub in zip(needs, stubs, strict=True):
        subprocess.run([*base, f"-Wl,-soname,{soname}", "-o", stub], check=True)
    subprocess.run([*base, *stubs, *flags, "-o", folder / "out.so"], check=True)
    return (folder / "out.so").read_bytes()


def test_wheels_work_in_the_empty_root_and_on_the_host(closed: "Run", place: "Place") -> None:
    declare(place, *WHEELS)
    ended = closed("switch")
    assert ended.returncode == 0, ended.stderr
    checked = answer(closed, "check")
    assert checked["isolated"] == (place.environ["ENVTOOL_SANDBOX"] == "auto")
    assert {each["module"] for each in checked["imports"]} >= {"cv2", "PySide6", "pyarrow"}
    assert [each for each in checked["imports"] if each["error"]] == []
    ended = closed("run", "python", "-c", CODE)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "True (4, 4) True 4 True 64"
    store = f"{place.root}/store/"
    assert len(lines) > 100
    assert [path for path in lines[1:] if not path.startswith(store)] == []
    why = closed("why", "libgl1").stdout.splitlines()
    assert "opencv-python -> libgl1 (libGL.so.1)" in why
    text = (place.project / "pylock.toml").read_bytes()
    assert answer(closed, "lock", "--upgrade")["changed"] is False
    assert (place.project / "pylock.toml").read_bytes() == text


def test_what_is_opened_by_name_is_found_by_name(closed: "Run", place: "Place") -> None:
    declare(place, rest='libraries = ["libtiff.so.6"]\n')
    assert closed("switch").returncode == 0
    code = (
        "import ctypes, ctypes.util\n"
        "name = ctypes.util.find_library('tiff')\n"
        "ctypes.CDLL(name).TIFFGetVersion.restype = ctypes.c_char_p\n"
        "print(name, ctypes.util.find_library('c'), ctypes.util.find_library('of_nobody'))"
    )
    ended = closed("run", "python", "-c", code)
    assert ended.stdout == "libtiff.so.6 libc.so.6 None\n", ended.stderr
    chains = answer(closed, "why", "libtiff6")
    assert chains["chains"] == [["libtiff6"]]
    assert ["libtiff6", "libdeflate0"] in answer(closed, "why", "libdeflate0")["chains"]
    declare(place)
    assert closed("switch").returncode == 0
    assert "libtiff" not in (place.project / "pylock.toml").read_text()


@pytest.mark.programs("gcc")
def test_what_was_built_from_source_is_read_when_it_is_there(
    closed: "Run", place: "Place", tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    (mine / "mine").mkdir(parents=True)
    (mine / "pyproject.toml").write_text(BUILT)
    code = "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/native.so')\n"
    (mine / "mine/__init__.py").write_text(code)
    (mine / "mine/native.so").write_bytes(compiled(tmp_path / "c", ["libtiff.so.6"]))
    source = f'[sources]\nmine = {{ path = "{mine}" }}\n'
    declare(place, "mine", rest=source)
    assert closed("switch").returncode == 0
    checked = answer(closed, "check", code=1)
    mend = {
        "package": "libtiff6",
        "suite": "bookworm",
        "command": None,
        "declaration": 'libraries = ["libtiff.so.6"]',
    }
    assert [(one["soname"], one["mend"]) for one in checked["lacks"]] == [("libtiff.so.6", mend)]
    told = closed("check").stdout
    assert 'has it in libtiff6; declare libraries = ["libtiff.so.6"], then: envtool' in told
    declare(place, "mine", rest=f"{mend['declaration']}\n{source}")
    assert closed("switch").returncode == 0
    assert answer(closed, "check")["complete"]


@pytest.mark.programs("gcc")
def test_an_extension_is_built_with_the_interpreters_own_headers(
    closed: "Run", place: "Place", make_extension: "MakeExtension"
) -> None:
    mine = make_extension('PyModule_AddStringConstant(made, "version", PY_VERSION);')
    declare(place, "mine", rest=f'[sources]\nmine = {{ path = "{mine}" }}\n')
    ended = closed("switch")
    assert ended.returncode == 0, ended.stderr
    assert 'name = "libpython3.11-dev"' in (place.project / "pylock.toml").read_text()
    ended = closed("run", "python", "-c", "import mine; print(mine.version)")
    assert ended.stdout.startswith("3.11."), ended.stderr
    assert answer(closed, "check")["complete"]
    text = (place.project / "pylock.toml").read_bytes()
    assert answer(closed, "lock", "--upgrade")["changed"] is False
    assert (place.project / "pylock.toml").read_bytes() == text


@pytest.mark.programs("gcc")
class TestMadeWheels:
    def offer(self, place: "Place", index: Any) -> None:
        place.environ |= {"ENVTOOL_INDEX_URL": index.url}

    def test_a_library_that_ignores_the_program_is_opened_up(
        self, closed: "Run", place: "Place", index: Any, make_wheel: Any, tmp_path: Path
    ) -> None:
        library = compiled(tmp_path / "c", ["libgomp.so.1"], "-Wl,-rpath,$ORIGIN/x")
        code = "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/need.so')\n"
        index.add(make_wheel("shut", files={"shut/__init__.py": code, "shut/need.so": library}))
        self.offer(place, index)
        declare(place, "shut")
        assert closed("switch").returncode == 0
        assert 'inheriting = [\n    "shut",\n]' in (place.project / "pylock.toml").read_text()
        assert closed("run", "python", "-c", "import shut").returncode == 0

    def test_what_nobody_has_is_an_error_that_names_it(
        self, closed: "Run", place: "Place", index: Any, make_wheel: Any, tmp_path: Path
    ) -> None:
        library = compiled(tmp_path / "c", [MISSING])
        index.add(make_wheel("bad", files={"bad/__init__.py": "", "bad/need.so": library}))
        self.offer(place, index)
        declare(place, "bad")
        before = (place.project / "pylock.toml").read_text()
        ended = closed("switch")
        assert ended.returncode == 1
        assert f"bad: site-packages/bad/need.so: {MISSING}" in ended.stderr
        assert "bookworm" in ended.stderr
        assert (place.project / "pylock.toml").read_text() == before

    def test_what_only_a_plugin_lacks_is_told(
        self, closed: "Run", place: "Place", index: Any, make_wheel: Any, tmp_path: Path
    ) -> None:
        bad = compiled(tmp_path / "c", [MISSING])
        good = compiled(tmp_path / "c", ["libm.so.6"])
        files = {"plug/__init__.py": "", "plug/m.abi3.so": good, "plug/x/libplug.so": bad}
        index.add(make_wheel("plug", files=files))
        self.offer(place, index)
        declare(place, "plug")
        ended = closed("switch")
        assert ended.returncode == 0, ended.stderr
        assert f"plugins of plug lack {MISSING}" in ended.stderr
