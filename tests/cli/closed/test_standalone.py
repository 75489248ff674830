"""An interpreter of python-build-standalone: its makers' place cannot be reached, a mirror can.

The archive on the mirror is made of Debian's interpreter and laid out as theirs are: everything
below `python/`, and its libraries beside its own.
"""

import gzip
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if TYPE_CHECKING:
    from cli.closed.conftest import InEmptyRoot, Proof
    from cli.conftest import Place, Run

BARE = 'name = "demo"\npython = "3.11"\ninterpreter = "standalone"\ndependencies = []\n'
BELOW = "20991231/cpython-3.11.99%2B20991231-made-here-install_only.tar.gz"
SYSTEM = re.compile(r"ld-linux|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+|crypt)\.so")


def pack(root: Path, target: Path) -> str:
    """Write an archive of the interpreter in a root; return its hash."""
    (closed,) = (root / "store").glob("*-cpython-3.11.*-debian")
    (libraries,) = (path.parent for path in closed.glob("usr/lib/*/libc.so.6"))
    target.parent.mkdir(parents=True)
    with (
        open(target, "wb") as file,
        gzip.GzipFile("", "wb", 1, file, 0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        archive.add(closed / "usr/bin/python3.11", "python/bin/python3.11")
        archive.add(closed / "usr/lib/python3.11", "python/lib/python3.11")
        for path in sorted(libraries.glob("*.so*")):
            if not SYSTEM.match(path.name):
                archive.add(path, f"python/lib/{path.name}")
        info = tarfile.TarInfo("python/bin/python3")
        info.type, info.linkname = tarfile.SYMTYPE, "python3.11"
        archive.addfile(info, io.BytesIO())
    return sha256(target.read_bytes()).hexdigest()


def test_the_bill_of_materials_names_what_the_interpreter_is_made_of(
    locked: "Run", place: "Place"
) -> None:
    text = locked("export", "--format", "cyclonedx").stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {each["name"] for each in json.loads(text)["components"]}
    assert names > {"python-build-standalone", "libc6"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder; give it and its URL."""
    folder = tmp_path / "mirror"
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def locked(closed: "Run", place: "Place") -> "Run":
    """Lock an environment of nothing but the newest 3.11 of the catalogue."""
    (place.project / "envtool.toml").write_text(BARE)
    ended = closed("lock")
    assert ended.returncode == 0, ended.stderr
    return closed


def replace_archive(place: "Place", version: str, url: str, digest: str) -> None:
    lock = place.project / "pylock.toml"
    table = f'{{ version = "{version}", url = "{url}", sha256 = "{digest}" }}'
    text, count = re.subn(r"(?m)^archive = .*$", f"archive = {table}", lock.read_text())
    assert count == 1
    lock.write_text(text)


@pytest.mark.filterwarnings("ignore:open_text")
def test_the_lock_pins_an_archive_of_the_catalogue(
    locked: "Run", place: "Place", proof: "Proof"
) -> None:
    from pbs_installer import get_download_link

    machine = os.uname().machine
    found, (url, digest) = get_download_link("3.11", arch=machine, platform="linux")
    text = (place.project / "pylock.toml").read_text()
    assert f'version = "3.11.{found.micro}", url = "{url}", sha256 = "{digest}"' in text
    assert 'source = "standalone"' in text
    names = re.findall(r'name = "([^"]+)", version = "[^"]*", architecture', text)
    data = ["ca-certificates", "libc-bin", "ncurses-base", "tzdata"]
    assert names == sorted([*data, "libc6", "libcrypt1", "libgcc-s1", "libstdc++6"])

    declared = proof.declaration.replace("debian/bookworm", "standalone")
    (place.project / "envtool.toml").write_text(declared)
    assert locked("lock").returncode == 0
    text = (place.project / "pylock.toml").read_text()
    _, _, libraries = text.partition("\nlibraries = ")
    # Its libraries are linked in: what a wheel needs of them is Debian's.
    assert re.findall(r'name = "(zlib1g)".* asked = \["\w+ libz.so.1"\]', libraries) == ["zlib1g"]
    assert locked("lock", "--check").returncode == 0


@pytest.mark.namespaces
def test_it_is_fetched_from_the_mirror_and_runs_in_an_empty_root(
    locked: "Run",
    place: "Place",
    proof: "Proof",
    served: tuple[Path, str],
    in_empty_root: "InEmptyRoot",
) -> None:
    folder, url = served
    digest = pack(place.root, folder / BELOW.replace("%2B", "+"))
    replace_archive(place, "3.11.99", f"https://nowhere.invalid/download/{BELOW}", digest)
    place.environ |= {"ENVTOOL_STANDALONE_MIRROR": f"{url}/"}
    ended = locked("switch")
    assert ended.returncode == 0, ended.stderr
    ended = locked("add", "numpy")
    assert ended.returncode == 0, ended.stderr
    assert locked("run", "python", "-c", proof.code).stdout.strip() == proof.said
    assert in_empty_root("-c", proof.code) == proof.said
    mapped = in_empty_root("-c", "import ssl, numpy; print(open('/proc/self/maps').read())")
    loaded = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if ".so" in line}
    assert loaded
    assert {path for path in loaded if not path.startswith(f"{place.root}/store/")} == set()
    (last,) = json.loads(locked("generations", "--json").stdout)["generations"][-1:]
    assert (last["python"], last["impure"]) == ("3.11.99", False)


def test_what_is_not_the_pinned_archive_is_refused(
    locked: "Run", place: "Place", served: tuple[Path, str]
) -> None:
    folder, url = served
    path = folder / BELOW.replace("%2B", "+")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    replace_archive(place, "3.11.98", f"{url}/{BELOW}", sha256(b"what was locked").hexdigest())
    ended = locked("switch")
    assert ended.returncode == 1
    assert "is not what was promised" in ended.stderr


def test_closed_takes_what_debian_lacks_from_standalone(closed: "Run", place: "Place") -> None:
    text = BARE.replace("standalone", "closed")
    (place.project / "envtool.toml").write_text(text)
    lock = place.project / "pylock.toml"
    assert closed("lock").returncode == 0
    assert 'source = "debian"' in lock.read_text()
    (place.project / "envtool.toml").write_text(text.replace('"3.11"', '"3.12"'))
    assert closed("lock").returncode == 0
    assert 'source = "standalone"\nversion = "3.12"' in lock.read_text()


def test_a_version_that_nobody_has_is_told_with_those_there_are(
    closed: "Run", place: "Place"
) -> None:
    text = BARE.replace("standalone", "closed")
    (place.project / "envtool.toml").write_text(text.replace('"3.11"', '"==3.11.1000"'))
    ended = closed("lock")
    assert ended.returncode == 1
    assert "no interpreter of Debian is CPython ==3.11.1000; found:\n  stable: 3." in ended.stderr
    assert "python-build-standalone has no CPython ==3.11.1000 for " in ended.stderr
    assert ended.stderr.endswith('or write interpreter = "host"\n')
