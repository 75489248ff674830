"""The fixtures every floor shares: tiny wheels, a package index on loopback, a mirror of Debian.

A test that names their types imports them for the type checker only::

    if TYPE_CHECKING:
        from conftest import Index, MakeWheel
"""

import base64
import csv
import gzip
import hashlib
import html
import io
import json
import lzma
import os
import re
import shutil
import socket
import stat
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

import pytest
from pysequoia import SignatureMode, Tsk, sign

from envtool.errors import SandboxError
from envtool.machine import sandbox
from envtool.machine.sandbox import Sandbox, View, require
from envtool.machine.settings import load
from envtool.sources.debian.signature import Key, read_keys
from envtool.workspace.workspace import Workspace

Tamper = Literal[
    "absolute",  # a member named /tmp/…
    "dotdot",  # a member named ../…
    "drive",  # a member named C:/…
    "no-record",  # no RECORD at all
    "record-extra",  # RECORD names a file that is not there
    "record-hash",  # RECORD gives another hash for one file
    "record-missing",  # a file that RECORD does not name
    "setuid",  # a member with mode 04755
    "symlink",  # a member that is a symlink out of the tree
    "truncated",  # the last bytes are gone
]
Behaviour = Literal["ok", "drop", "pause", "stall", "truncate"] | int
"""How one path answers: as it should; by hanging up; half of the body, and the rest when released;
never; half of the body; with a status."""


@cache
def _has_sandbox() -> bool:
    try:
        require(os.environ.get("PATH", os.defpath))
    except SandboxError:
        return False
    return True


@cache
def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


# Where the machine gives no sandbox, source packages are built without one.
os.environ["ENVTOOL_SANDBOX"] = "auto" if _has_sandbox() else "off"
_NEEDS: Mapping[str, tuple[Callable[[], bool], str]] = {
    "namespaces": (_has_sandbox, "this machine denies namespaces"),
    "mounts": (_can_mount, "this machine denies mounting in a namespace"),
}
"""By marker: what it asks of the machine, and what is said where that is not so."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave out what is marked as needing what this machine does not give."""
    for item in items:
        for marker, (is_given, otherwise) in _NEEDS.items():
            if item.get_closest_marker(marker) and not is_given():
                item.add_marker(pytest.mark.skip(reason=otherwise))


JSON_TYPE = "application/vnd.pypi.simple.v1+json"
EPOCH = (1980, 1, 1, 0, 0, 0)


class MakeWheel(Protocol):
    """Write one wheel and return its path.

    `files` are members by name; without any, a module of the distribution's name with its
    `VERSION`. `entry_points` are groups of `name = object`. `data` are members below
    `NAME-VERSION.data/`. `executable` lists the members that get mode 0755.
    """

    def __call__(
        self,
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        files: Mapping[str, str | bytes] | None = None,
        entry_points: Mapping[str, Mapping[str, str]] | None = None,
        data: Mapping[str, str | bytes] | None = None,
        executable: Sequence[str] = (),
        requires: Sequence[str] = (),
        requires_python: str | None = None,
        summary: str = "",
        tamper: Tamper | None = None,
        folder: Path | None = None,
    ) -> Path: ...


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _metadata(
    name: str, version: str, requires: Sequence[str], requires_python: str | None, summary: str
) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Summary: {summary}"] if summary else []
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    return ("\n".join(lines) + "\n").encode()


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> bytes:
    sections = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in groups.items()
    )
    return "\n".join(sections).encode()


def _record(members: Mapping[str, bytes], name: str, tamper: Tamper | None) -> bytes:
    rows = []
    for member, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append([member, f"sha256={digest}", str(len(content))])
    if tamper == "record-hash":
        rows[0][1] = "sha256=" + "A" * 43
    if tamper == "record-missing":
        del rows[0]
    if tamper == "record-extra":
        rows.append(["nowhere.py", "sha256=" + "A" * 43, "1"])
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([*rows, [name, "", ""]])
    return stream.getvalue().encode()


_HOSTILE: Mapping[Tamper, str] = {
    "absolute": "/tmp/envtool-escaped.txt",
    "dotdot": "../envtool-escaped.txt",
    "drive": "C:/envtool-escaped.txt",
    "setuid": "setuid_tool",
    "symlink": "link_out",
}


def _mode(member: str, tamper: Tamper | None, executable: Sequence[str]) -> int:
    if tamper == "symlink" and member == _HOSTILE["symlink"]:
        return stat.S_IFLNK | 0o777
    if tamper == "setuid" and member == _HOSTILE["setuid"]:
        return stat.S_IFREG | 0o4755
    return stat.S_IFREG | (0o755 if member in executable else 0o644)


def _write_wheel(
    path: Path, members: Mapping[str, bytes], tamper: Tamper | None, executable: Sequence[str]
) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            info = zipfile.ZipInfo(member, EPOCH)
            info.external_attr = _mode(member, tamper, executable) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    if tamper == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Make wheels in a folder of the test; same arguments, same bytes."""

    def make(
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        files: Mapping[str, str | bytes] | None = None,
        entry_points: Mapping[str, Mapping[str, str]] | None = None,
        data: Mapping[str, str | bytes] | None = None,
        executable: Sequence[str] = (),
        requires: Sequence[str] = (),
        requires_python: str | None = None,
        summary: str = "",
        tamper: Tamper | None = None,
        folder: Path | None = None,
    ) -> Path:
        module = re.sub(r"[-_.]+", "_", name)
        stem, info = f"{module}-{version}", f"{module}-{version}.dist-info"
        members = {
            member: _bytes(content)
            for member, content in (files or {f"{module}.py": f"VERSION = {version!r}\n"}).items()
        }
        members |= {f"{stem}.data/{part}": _bytes(text) for part, text in (data or {}).items()}
        if tamper is not None and tamper in _HOSTILE:
            members[_HOSTILE[tamper]] = b"../../../etc/passwd"
        members[f"{info}/METADATA"] = _metadata(name, version, requires, requires_python, summary)
        members[f"{info}/WHEEL"] = (
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
        ).encode()
        if entry_points:
            members[f"{info}/entry_points.txt"] = _entry_points(entry_points)
        if tamper != "no-record":
            members[f"{info}/RECORD"] = _record(members, f"{info}/RECORD", tamper)
        place = folder or tmp_path / "wheels"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{stem}-{tag}.whl"
        _write_wheel(path, members, tamper, executable)
        return path

    return make


class EmptyRoot(Protocol):
    """Return what a program prints where only a store, /proc, /dev and /tmp are."""

    def __call__(self, store: str, program: str | Path, *words: str) -> str: ...


@pytest.fixture
def empty_root(tmp_path: Path) -> EmptyRoot:
    """Run programs in an empty root; a test that does is marked as one that needs namespaces."""

    def run(store: str, program: str | Path, *words: str) -> str:
        bwrap = require(os.environ["PATH"])
        inside = Sandbox((View(store),), {"HOME": "/tmp"}, "/tmp")
        with open(tmp_path / "output", "w+b") as output:
            status = sandbox.run(bwrap, inside, [str(program), *words], output=output)
            output.seek(0)
            said = output.read().decode()
        assert status == 0, said
        return said.strip()

    return run


class MakeSdist(Protocol):
    """Write one sdist of a module and a `pyproject.toml`, and return its path."""

    def __call__(
        self, name: str, version: str = "1.0", *, pyproject: str | None = None
    ) -> Path: ...


@pytest.fixture
def make_sdist(tmp_path: Path) -> MakeSdist:
    """Make sdists in a folder of the test; without `pyproject` the back end is setuptools."""

    def make(name: str, version: str = "1.0", *, pyproject: str | None = None) -> Path:
        module = re.sub(r"[-_.]+", "_", name)
        project = pyproject or (
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
            f'[tool.setuptools]\npy-modules = ["{module}"]\n'
        )
        members = {
            "PKG-INFO": _metadata(name, version, (), None, ""),
            "pyproject.toml": project.encode(),
            f"{module}.py": f"VERSION = {version!r}\n".encode(),
        }
        path = tmp_path / "sdists" / f"{module}-{version}.tar.gz"
        path.parent.mkdir(exist_ok=True)
        with (
            gzip.GzipFile(path, "wb", mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w") as archive,
        ):
            for member, content in members.items():
                info = tarfile.TarInfo(f"{module}-{version}/{member}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


@dataclass(frozen=True, slots=True)
class Request:
    """One request the index answered."""

    method: str
    path: str
    """Without the query."""
    status: int
    """What it was answered with; 0 when it was left without a status."""
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class _Offer:
    path: Path
    yanked: bool
    upload_time: str
    requires_python: str | None

    @property
    def filename(self) -> str:
        return self.path.name

    @property
    def project(self) -> str:
        return re.sub(r"[-_.]+", "-", self.filename.split("-")[0]).lower()

    def metadata(self) -> bytes | None:
        """Return the METADATA of a wheel (PEP 658); None for an sdist or a broken archive."""
        if self.path.suffix != ".whl" or not zipfile.is_zipfile(self.path):
            return None
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.namelist():
                if member.endswith(".dist-info/METADATA"):
                    return archive.read(member)
        return None

    def record(self, *, with_size: bool, with_hash: bool) -> dict[str, object]:
        content = self.path.read_bytes()
        metadata = self.metadata()
        record: dict[str, object] = {
            "filename": self.filename,
            "url": f"../../files/{self.filename}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()} if with_hash else {},
            "upload-time": self.upload_time,
            "yanked": self.yanked,
        }
        if with_size:
            record["size"] = len(content)
        if self.requires_python:
            record["requires-python"] = self.requires_python
        if metadata is not None:
            record["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
        return record


@dataclass
class Index:
    """A package index on loopback: PEP 691 (or, with `json` off, PEP 503) with PEP 658 metadata."""

    root: str
    """`http://127.0.0.1:PORT`, without trailing slash."""
    json: bool = True
    sizes: bool = True
    """Whether the JSON pages say how long each file is."""
    hashes: bool = True
    """Whether the JSON pages give the SHA-256 of each file."""
    behaviour: dict[str, Behaviour | list[Behaviour]] = field(default_factory=dict)
    """Path, such as `/simple/tiny/`, to how it answers; a list is used up one request at a time."""
    log: list[Request] = field(default_factory=list)
    """Every request, in the order of their answers."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set when stalled answers are to end."""
    _offers: dict[str, _Offer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Return the URL that uv and pip take as an index."""
        return f"{self.root}/simple/"

    def add(
        self,
        artifact: Path,
        *,
        yanked: bool = False,
        upload_time: str = "2024-01-01T00:00:00Z",
        requires_python: str | None = None,
    ) -> str:
        """Offer a wheel or sdist and return its URL."""
        offer = _Offer(artifact, yanked, upload_time, requires_python)
        self._offers[offer.filename] = offer
        return self.file_url(offer.filename)

    def file_url(self, filename: str) -> str:
        """Return the URL of an offered file."""
        return f"{self.root}/files/{filename}"

    def paths(self, method: str = "GET") -> list[str]:
        """Return the paths asked for so far with a method."""
        return [request.path for request in self.log if request.method == method]

    def behaviour_of(self, path: str) -> Behaviour:
        """Return how this request is to be answered, using it up when a list was given."""
        with self._lock:
            given = self.behaviour.get(path, "ok")
            if isinstance(given, list):
                return given.pop(0) if given else "ok"
            return given

    def page(self, path: str, accept: str) -> tuple[str, bytes] | None:
        """Return content type and body for a path; None when there is nothing."""
        parts = path.strip("/").split("/")
        if parts[0] == "simple":
            return self._listing(parts[1:], accept)
        if parts[0] == "files":
            return self._file(parts[-1])
        return None

    def _listing(self, parts: Sequence[str], accept: str) -> tuple[str, bytes] | None:
        names = sorted({offer.project for offer in self._offers.values()})
        if not parts:
            links = "".join(f'<a href="{name}/">{name}</a>\n' for name in names)
            return "text/html", links.encode()
        if parts[0] not in names:
            return None
        offers = [offer for offer in self._offers.values() if offer.project == parts[0]]
        if self.json and JSON_TYPE in accept:
            return JSON_TYPE, self._json(parts[0], offers)
        return "text/html", self._html(offers)

    def _json(self, name: str, offers: Sequence[_Offer]) -> bytes:
        files = [offer.record(with_size=self.sizes, with_hash=self.hashes) for offer in offers]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()

    @staticmethod
    def _html(offers: Sequence[_Offer]) -> bytes:
        lines = ["<!DOCTYPE html><html><body>"]
        for offer in offers:
            digest = hashlib.sha256(offer.path.read_bytes()).hexdigest()
            extra = ' data-yanked=""' if offer.yanked else ""
            if offer.requires_python:
                extra += f' data-requires-python="{html.escape(offer.requires_python)}"'
            if (metadata := offer.metadata()) is not None:
                extra += f' data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}"'
            href = f"../../files/{offer.filename}#sha256={digest}"
            lines.append(f'<a href="{href}"{extra}>{offer.filename}</a>')
        return "\n".join([*lines, "</body></html>"]).encode()

    def _file(self, name: str) -> tuple[str, bytes] | None:
        if name in self._offers:
            return "application/octet-stream", self._offers[name].path.read_bytes()
        offer = self._offers.get(name.removesuffix(".metadata"))
        metadata = offer.metadata() if offer is not None else None
        return None if metadata is None else ("text/plain", metadata)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    index: Index

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up in the tests on purpose."""

    def hang_up(self) -> None:
        for connection in tuple(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was first


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: `Index.log` is the log."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        index = self.server.index
        path = unquote(urlsplit(self.path).path)
        behaviour = index.behaviour_of(path)
        page = index.page(path, self.headers.get("Accept", ""))
        if isinstance(behaviour, int) or page is None:
            status = behaviour if isinstance(behaviour, int) else HTTPStatus.NOT_FOUND
            self._note(path, status)
            self._send(status, "text/plain", b"no\n")
        elif behaviour in ("drop", "stall"):
            self._note(path, 0)
            if behaviour == "stall":
                index.released.wait()
            self.close_connection = True
        else:
            self._page(path, *page, behaviour)

    def _page(self, path: str, content_type: str, body: bytes, behaviour: Behaviour) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers, status, part = {}, HTTPStatus.OK, body
        if wanted and int(wanted[1]) < len(body):
            start, end = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
            status, part = HTTPStatus.PARTIAL_CONTENT, body[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        self._note(path, status)
        self._send(status, content_type, part, headers, behaviour)

    def _note(self, path: str, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.index.log.append(Request(self.command, path, int(status), headers))

    def _send(
        self,
        status: int,
        content_type: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        behaviour: Behaviour = "ok",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            half = len(body) // 2 if behaviour in ("pause", "truncate") else len(body)
            self.wfile.write(body[:half])
            if behaviour == "pause":
                self.server.index.released.wait()
                self.wfile.write(body[half:])
        self.close_connection = self.close_connection or behaviour == "truncate"


@pytest.fixture
def index() -> Iterator[Index]:
    """Serve an empty package index on loopback for the length of one test."""
    with _Server() as server:
        server.index = Index(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.index
        finally:
            server.index.released.set()
            server.hang_up()
            server.shutdown()
            thread.join()


# A mirror of Debian

_NOW = 1_790_000_000
_PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
}


@dataclass
class Mirror:
    """A mirror below a folder; `publish` writes a suite of it."""

    root: Path
    secret: Tsk
    keys: tuple[Key, ...]
    contents: bytes = b"usr/lib/x86_64-linux-gnu/libtiny.so.1    libs/libtiny1\n"
    by_hash: bool = True
    inside: bool = True
    """Whether the signature is in InRelease, not in Release.gpg."""
    ending: str = ".xz"
    fields: dict[str, str] = field(default_factory=dict)
    """More of the Release file, or other values."""
    components: dict[str, list[str]] = field(default_factory=dict)
    """Stanzas of further components, which the next suite that is published has."""
    now: int = _NOW
    """When the tests take place, in seconds since 1970."""

    @property
    def url(self) -> str:
        return f"file:{self.root}"

    @staticmethod
    def stanza(name: str, version: str = "1.0", **fields: str) -> str:
        """Return the stanza of a package; `pre_depends` stands for Pre-Depends."""
        digest = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
        given = {"Package": name, "Version": version, "Architecture": "amd64"}
        given |= {key.replace("_", "-").title(): text for key, text in fields.items()}
        given |= {
            "Description": f"what {name} is for",
            "Filename": f"pool/main/{name}/{name}_{version.replace(':', '%3a')}_amd64.deb",
            "Size": "1000",
            "SHA256": digest,
        }
        return "".join(f"{key}: {text}\n" for key, text in given.items())

    @staticmethod
    def when(seconds: int) -> str:
        """Return a time as Release files write it."""
        return format_datetime(datetime.fromtimestamp(seconds, UTC)).replace("+0000", "UTC")

    def suite(self, name: str) -> Path:
        return self.root / "dists" / name

    def publish(self, *stanzas: str, suite: str = "tested", date: int = _NOW - 86400) -> None:
        """Write a suite with these packages in the component main."""
        files = {
            f"main/binary-amd64/Packages{self.ending}": _PACK[self.ending](
                "\n".join(stanzas).encode()
            ),
            "main/Contents-amd64.gz": gzip.compress(self.contents),
            **{
                f"{name}/binary-amd64/Packages.gz": gzip.compress("\n".join(more).encode())
                for name, more in self.components.items()
            },
        }
        for name, content in files.items():
            path = self.suite(suite) / name
            digest = hashlib.sha256(content).hexdigest()
            copy = path.parent / "by-hash/SHA256" / digest
            copy.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if self.by_hash:
                copy.write_bytes(content)
        self.sign(suite, self.release(suite, date, files))

    def release(self, suite: str, date: int, files: dict[str, bytes]) -> str:
        given = {
            "Origin": "Tests",
            "Suite": "stable",
            "Codename": suite,
            "Date": self.when(date),
            "Acquire-By-Hash": "yes" if self.by_hash else "no",
            "Architectures": "all amd64",
            "Components": " ".join(["main", *self.components]),
        } | self.fields
        table = "".join(
            f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
            for name, content in files.items()
        )
        return "".join(f"{key}: {text}\n" for key, text in given.items()) + f"SHA256:\n{table}"

    def sign(self, suite: str, text: str) -> None:
        folder, data = self.suite(suite), text.encode()
        signer = self.secret.signer()
        if self.inside:
            (folder / "InRelease").write_bytes(sign(signer, data, mode=SignatureMode.CLEAR))
        else:
            (folder / "Release").write_bytes(data)
            detached = sign(signer, data, mode=SignatureMode.DETACHED)
            (folder / "Release.gpg").write_bytes(detached)


@pytest.fixture(scope="session")
def secret() -> Tsk:
    return Tsk.generate("Archive of Tests <test@example.org>")


@pytest.fixture
def mirror(secret: Tsk, tmp_path: Path) -> Mirror:
    """Give a mirror that has no suite yet."""
    path = tmp_path / "key.pgp"
    path.write_bytes(bytes(secret.extract_certificate()))
    root = tmp_path / "mirror/debian"
    root.mkdir(parents=True)
    return Mirror(root, secret, read_keys(str(path)))


@pytest.fixture(scope="session")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root that the workers of this run share: each real wheel is fetched once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return shared / "real-root"


@pytest.fixture
def workspace(real_root: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace in the shared root, which this process and its children use too.

    The index is the one of the host's configuration.
    """
    monkeypatch.setenv("ENVTOOL_ROOT", str(real_root))
    monkeypatch.setenv("ENVTOOL_FSYNC", "0")
    return Workspace(load(os.environ))
