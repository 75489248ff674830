"""A package index on loopback, so that a benchmark measures tools and not the network.

    index.py fill FOLDER [--python 3.11]     fetch one wheel per line of both lists
    index.py serve FOLDER                    print the index' URL and serve until killed

`fill` asks the package index that uv is configured for, and fetches the wheels that the wanted
Python would choose. `serve` answers PEP 503 (HTML) and PEP 691 (JSON, with sizes) pages, PEP 658
metadata and byte ranges over kept connections.
"""

import argparse
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageWheel, Pylock
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from envtool.machine.fetching.fetch import Fetcher

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
OLDER = Path(__file__).with_name("requirements-older.txt")
"""Other versions of some of the same, to change to."""
JSON_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True)
class Offer:
    """One wheel on the index' pages."""

    filename: str
    size: int
    sha256: str
    metadata_sha256: str
    requires_python: str | None

    @property
    def project(self) -> str:
        """The project's normalised name."""
        return parse_wheel_filename(self.filename)[0]


def uv() -> str:
    """Return the uv beside this Python, or else the one on PATH."""
    beside = os.path.join(sysconfig.get_path("scripts"), "uv")
    return beside if os.path.exists(beside) else shutil.which("uv") or "uv"


def fill(folder: Path, python: str) -> None:
    """Fetch the wheels, write their metadata beside them, and list them in `index.json`."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    wheels = [
        wheel
        for pins in (REQUIREMENTS, OLDER)
        for wheel in chosen(pins, folder / f"pylock.{pins.stem}.toml", python)
    ]
    with Fetcher(offline=False) as fetcher, ThreadPoolExecutor(8) as threads:

        def fetch(wheel: PackageWheel) -> None:
            target = files / wheel_name(wheel)
            if not target.exists():
                assert wheel.url is not None
                fetcher.fetch(wheel.url, str(target), sha256=wheel.hashes["sha256"])

        list(threads.map(fetch, wheels))
    offers = [offer(files / wheel_name(wheel)) for wheel in wheels]
    listing = [asdict(entry) for entry in offers]
    (folder / "index.json").write_text(json.dumps(listing, indent=1))
    total = sum(entry.size for entry in offers) / 1e6
    print(f"{len(offers)} wheels, {total:.1f} MB, for Python {python}, in {folder}")


def chosen(pins: Path, lock: Path, python: str) -> list[PackageWheel]:
    """Let uv say where the pinned wheels lie, and choose those that suit the Python best."""
    command = [uv(), "pip", "compile", "-q", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", python, "--format", "pylock.toml", "-o", str(lock)]
    environ = {"UV_SYSTEM_CERTS": "1", **os.environ}  # as envtool asks it
    subprocess.run([*command, str(pins)], check=True, env=environ)
    version = tuple(int(part) for part in python.split("."))
    interpreter = f"cp{version[0]}{version[1]}"
    tags = [*cpython_tags(version), *compatible_tags(version, interpreter)]
    selected = Pylock.from_dict(tomllib.loads(lock.read_text())).select(tags=tags)
    return [artifact for _, artifact in selected if isinstance(artifact, PackageWheel)]


def wheel_name(wheel: PackageWheel) -> str:
    """Return the wheel's file name, which the lock may leave to the URL."""
    return wheel.name or unquote(urlsplit(wheel.url or "").path.rpartition("/")[2])


def offer(path: Path) -> Offer:
    """Describe one wheel, and put its metadata beside it."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        metadata = archive.read(name)
    path.with_name(f"{path.name}.metadata").write_bytes(metadata)
    requires = re.search(rb"^Requires-Python: *(.+?)\s*$", metadata, re.MULTILINE)
    return Offer(
        path.name,
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        hashlib.sha256(metadata).hexdigest(),
        requires[1].decode() if requires else None,
    )


class Index(ThreadingHTTPServer):
    """Serves one filled folder on a free port of loopback."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = folder / "files"
        self.offers: dict[str, list[Offer]] = {}
        for entry in json.loads((folder / "index.json").read_text()):
            described = Offer(**entry)
            self.offers.setdefault(described.project, []).append(described)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client hangs up."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Index

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: printing would be measured too."""

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with a project's page or a file."""
        match unquote(urlsplit(self.path).path).strip("/").split("/"):
            case ["simple", project] if offers := self.server.offers.get(
                canonicalize_name(project)
            ):
                self.page(project, offers)
            case ["files", name] if (self.server.files / name).is_file():
                self.file(self.server.files / name)
            case _:
                self.body(404, "text/plain", b"no such thing\n")

    def page(self, project: str, offers: list[Offer]) -> None:
        """Answer with JSON to those who accept it, else with HTML."""
        if JSON_TYPE in self.headers.get("Accept", ""):
            listing = {
                "meta": {"api-version": "1.1"},
                "name": project,
                "versions": [str(parse_wheel_filename(o.filename)[1]) for o in offers],
                "files": [json_entry(entry) for entry in offers],
            }
            self.body(200, JSON_TYPE, json.dumps(listing).encode())
        else:
            links = "\n".join(html_entry(entry) for entry in offers)
            self.body(
                200, "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
            )

    def body(self, status: int, content_type: str, content: bytes) -> None:
        """Answer with bytes from memory."""
        self.head(status, {"Content-Type": content_type, "Content-Length": str(len(content))})
        if self.command == "GET":
            self.wfile.write(content)

    def file(self, path: Path) -> None:
        """Answer with a file or the part of it that was asked for, copied by the kernel."""
        size = path.stat().st_size
        start, end, status = 0, size, 200
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted and any(wanted.groups()):
            status, (start, end) = 206, span(wanted[1], wanted[2], size)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        self.head(status, headers)
        if self.command == "GET":
            self.wfile.flush()
            with path.open("rb") as stream:
                self.connection.sendfile(stream, start, end - start)

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send the status line and the headers; pages and files stay fresh for an hour."""
        self.send_response(status)
        for name, value in {**headers, "Cache-Control": "max-age=3600"}.items():
            self.send_header(name, value)
        self.end_headers()


def span(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the half-open range that `bytes=first-last` means (RFC 9110, 14.1.2)."""
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last or size) + 1, size)


def json_entry(entry: Offer) -> dict[str, Any]:
    """Return a file's entry on the page of PEP 691."""
    described = {
        "filename": entry.filename,
        "url": f"../../files/{entry.filename}",
        "hashes": {"sha256": entry.sha256},
        "size": entry.size,
        "upload-time": "2026-01-01T00:00:00Z",
        "core-metadata": {"sha256": entry.metadata_sha256},
    }
    if entry.requires_python:
        described["requires-python"] = entry.requires_python
    return described


def html_entry(entry: Offer) -> str:
    """Return a file's link on the page of PEP 503."""
    requires = ""
    if entry.requires_python:
        requires = f' data-requires-python="{html.escape(entry.requires_python)}"'
    return (
        f'<a href="../../files/{entry.filename}#sha256={entry.sha256}"'
        f' data-core-metadata="sha256={entry.metadata_sha256}"{requires}>{entry.filename}</a><br>'
    )


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["fill", "serve"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    arguments = parser.parse_args()
    if arguments.command == "fill":
        fill(arguments.folder, arguments.python)
        return
    with Index(arguments.folder) as index:
        print(f"http://127.0.0.1:{index.server_address[1]}/simple", flush=True)
        index.serve_forever()


if __name__ == "__main__":
    main()
