"""Debian's interpreter, relocated: it runs where there is nothing but the store."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.plan.closed.python import add_closed_interpreter
from envtool.plan.derivations import Instantiation
from envtool.sources.probe import Prober

if TYPE_CHECKING:
    from build.closed.conftest import Closed
    from conftest import EmptyRoot

KERNEL = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(startup_timeout=60)
said = []
client.execute_interactive(
    "import numpy, sys; print(numpy.arange(4).sum(), sys.version_info[:2])",
    output_hook=lambda message: said.append(message["content"].get("text", "")),
    timeout=60,
)
client.stop_channels()
manager.shutdown_kernel(now=True)
print("".join(said))
"""
MAPPED = """
import ctypes, sqlite3, ssl, lzma, bz2, uuid, readline, curses, zlib
for line in open("/proc/self/maps"):
    if "/" in line and ".so" in line:
        print(line.split(maxsplit=5)[5].strip())
"""


def run(program: str | Path, *words: str, environ: Mapping[str, str] | None = None) -> str:
    """Return what a program prints; it finds no variables but these."""
    done = subprocess.run(
        [str(program), *words], env=environ or {}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def science(closed: "Closed") -> Path:
    return closed.environment("numpy", "ipykernel")


def test_says_what_was_described_before_it_was_realised(closed: "Closed") -> None:
    with Prober({}, None, 10.0) as prober:
        found = prober.probe(closed.program)
    assert found is not None, prober.failures
    described = closed.interpreter
    for name in ("version", "abi", "soabi", "machine", "glibc", "platlibdir", "purelib", "stdlib"):
        assert getattr(found, name) == getattr(described, name), name


def test_every_library_comes_from_the_store(closed: "Closed") -> None:
    mapped = run(closed.program, "-I", "-c", MAPPED).splitlines()
    store = os.path.realpath(closed.store.settings.store)
    assert len(mapped) > 10
    assert [path for path in mapped if not path.startswith(f"{store}/")] == []


def test_a_library_that_only_the_host_has_is_not_found(closed: "Closed") -> None:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    ours = set(os.listdir(libraries(closed)))
    words = [line.split() for line in listed.stdout.splitlines()[1:]]
    name = next(each[0] for each in words if each[0].startswith("lib") and each[0] not in ours)
    code = f"import ctypes\ntry: ctypes.CDLL({name!r})\nexcept OSError as error: print(error)"
    assert "cannot open shared object file" in run(closed.program, "-I", "-c", code)


def libraries(closed: "Closed") -> Path:
    """Return the folder of the interpreter's shared libraries."""
    return next((closed.physical / "lib").resolve().glob("*/libc.so.6")).parent


def test_finds_the_names_of_hosts(closed: "Closed") -> None:
    code = "import socket; print(socket.gethostbyname('localhost'))"
    assert run(closed.program, "-I", "-c", code) == "127.0.0.1"


def test_takes_certificates_of_its_own_only_where_the_host_has_none(closed: "Closed") -> None:
    code = "import ssl, os; print(os.environ['SSL_CERT_FILE'])"
    bundle = run(closed.program, "-I", "-c", code)
    host = "/etc/ssl/certs/ca-certificates.crt"
    own = libraries(closed).parent.parent / "share/ca-certificates.crt"
    assert bundle == (host if os.path.exists(host) else str(own))
    assert own.read_text().count("BEGIN CERTIFICATE") > 100


def test_lets_the_user_choose_the_certificates(closed: "Closed") -> None:
    code = "import ssl, os; print(os.environ['SSL_CERT_FILE'])"
    chosen = run(closed.program, "-I", "-c", code, environ={"SSL_CERT_FILE": "/mine.pem"})
    assert chosen == "/mine.pem"


def test_starts_with_bytecode_and_writes_none(closed: "Closed") -> None:
    code = "import email.message, asyncio; print(email.message.__cached__)"
    cached = run(closed.program, "-c", code)
    assert os.path.isfile(cached)
    folder = libraries(closed).parent / f"python{closed.pinned.feature}"
    sources = {path.stem for path in folder.glob("*.py")}
    compiled = {path.name.split(".")[0] for path in (folder / "__pycache__").iterdir()}
    assert compiled == sources


def test_its_program_cannot_be_started_with_the_loader_of_the_host(closed: "Closed") -> None:
    program = libraries(closed).parent.parent / "bin" / f"python{closed.pinned.feature}"
    assert not program.stat().st_mode & 0o111


@pytest.mark.namespaces
def test_starts_where_there_is_nothing_but_the_store(
    closed: "Closed", empty_root: "EmptyRoot"
) -> None:
    code = (
        "import os, ssl, sqlite3, zoneinfo, distutils, ctypes.util\n"
        "assert not os.path.exists('/usr') and not os.path.exists('/lib64')\n"
        "print(len(ssl.create_default_context().get_ca_certs()) > 100,"
        " sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0],"
        " zoneinfo.ZoneInfo('Europe/Berlin'))"
    )
    said = empty_root(closed.store.settings.store, closed.program, "-c", code)
    assert said.splitlines()[-1] == "True 42 Europe/Berlin"


@pytest.mark.namespaces
def test_a_kernel_with_numpy_starts_where_there_is_nothing_but_the_store(
    closed: "Closed", science: Path, empty_root: "EmptyRoot"
) -> None:
    said = empty_root(closed.store.settings.store, science / "bin/python", "-c", KERNEL)
    assert said.splitlines()[-1] == "6 (3, 11)"


def test_an_environment_of_it_has_its_own_packages_only(closed: "Closed", science: Path) -> None:
    code = "import sys, numpy; print(sys.prefix, sys.base_prefix, numpy.__file__)"
    prefix, base, numpy = run(science / "bin/python", "-c", code).split()
    assert (prefix, base) == (str(science), str(closed.physical))
    assert numpy.startswith(f"{science}/lib/")


def test_two_roots_have_the_same_paths_and_the_same_objects(
    closed: "Closed", elsewhere: "Closed"
) -> None:
    made = Instantiation()
    add_closed_interpreter(made, closed.pinned)
    outputs = {drv.output_path() for drv in made.derivations.values()} - {closed.output}
    here = {path: info.nar_hash for path, info in closed.store.infos(outputs).items()}
    there = {path: info.nar_hash for path, info in elsewhere.store.infos(outputs).items()}
    assert elsewhere.output == closed.output
    assert len(here) == 2 * len(closed.pinned.packages) + 1
    assert here == there
    assert run(elsewhere.program, "-I", "-c", "print(6 * 7)") == "42"


def test_holds_nothing_but_its_own_closure(closed: "Closed") -> None:
    names = sorted(path.name for path in closed.store.closure([closed.output]))
    version = closed.pinned.version
    assert names == [f"cpython-{version}-debian", f"cpython-{version}-local"]
