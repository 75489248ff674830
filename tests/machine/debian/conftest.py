"""A mirror of an archive of Debian packages on this disk, signed with a key of its own.

A test that names its types imports them for the type checker only::

    if TYPE_CHECKING:
        from machine.debian.conftest import Mirror
"""

import gzip
import hashlib
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from pysequoia import SignatureMode, Tsk, sign

from envtool.machine.debian.archive import Archive
from envtool.machine.debian.mirrors import Mirrors
from envtool.machine.fetching.fetch import Fetcher
from envtool.sources.debian.signature import Key, read_keys

NOW = 1_790_000_000
PACK: dict[str, Callable[[bytes], bytes]] = {
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

    now: int = NOW
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

    def publish(self, *stanzas: str, suite: str = "tested", date: int = NOW - 86400) -> None:
        """Write a suite with these packages in the component main."""
        files = {
            f"main/binary-amd64/Packages{self.ending}": PACK[self.ending](
                "\n".join(stanzas).encode()
            ),
            "main/Contents-amd64.gz": gzip.compress(self.contents),
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
            "Components": "main",
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


OpenArchive = Callable[..., Archive]


@pytest.fixture
def open_archive(mirror: Mirror, tmp_path: Path) -> Iterator[OpenArchive]:
    """Open the mirror's archive; `offline` or more `mirrors` as wanted, all with one cache."""
    fetchers: list[Fetcher] = []

    def run(
        *,
        offline: bool = False,
        mirrors: Sequence[str] | None = None,
        check_age: bool = True,
        now: Callable[[], float] = lambda: float(NOW),
    ) -> Archive:
        fetcher = Fetcher(offline=offline, retries=0)
        fetchers.append(fetcher)
        return Archive(
            str(tmp_path / "cache"),
            fetcher,
            Mirrors(tuple(mirrors if mirrors is not None else [mirror.url])),
            "amd64",
            keys=mirror.keys,
            check_age=check_age,
            now=now,
        )

    yield run
    for each in fetchers:
        each.close()
