"""Real Nix as the judge: we read and verify its binary caches, and it takes and verifies ours."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.narinfo import (
    CacheInfo,
    NarInfo,
    parse,
    parse_cache_info,
    render,
    render_cache_info,
)
from envtool.formats.nix.signing import PublicKey, SecretKey, signers
from envtool.formats.nix.storepath import StorePath, make_output
from envtool.values import replace

if TYPE_CHECKING:
    from formats.nix.conftest import MakeNix, Nix

STORE = "/nix/store"
CHAIN = 40
"""Paths of a cache, each referring to some before it."""


@pytest.fixture(scope="module")
def theirs(nix: "Nix", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a binary cache that Nix wrote and signed, beside its keys."""
    folder = tmp_path_factory.mktemp("theirs")
    nix.run(
        *("nix-store", "--generate-binary-cache-key", "nix-1"),
        *(folder / "secret", folder / "public"),
    )
    (folder / "source").mkdir()
    (folder / "source" / "data").write_bytes(bytes(range(256)) * 40)
    source = nix.lines("nix-store", "--add", folder / "source")
    bindings = [f't0 = builtins.toFile "t0" "{"x" * 100}";']
    for number in range(1, CHAIN):
        before = {number - 1, number // 2, number // 3}
        content = " ".join(f"${{t{each}}}" for each in sorted(before))
        bindings.append(f't{number} = builtins.toFile "t{number}" "{content}";')
    last = f'derivation {{ name = "d"; builder = "b"; system = "s"; last = t{CHAIN - 1}; }}'
    (drv,) = nix.lines("nix-instantiate", "--expr", f"let {' '.join(bindings)} in {last}")
    where = f"file://{folder}/cache?secret-key={folder}/secret&compression=none"
    nix.run("nix", "copy", "--to", where, *source)
    nix.run("nix", "copy", "--derivation", "--to", where, drv)
    return folder


def test_cache_info_of_nix_is_read_and_written_to_the_same_bytes(theirs: Path) -> None:
    content = (theirs / "cache" / "nix-cache-info").read_bytes()
    assert parse_cache_info(content).store_dir == STORE
    assert render_cache_info(parse_cache_info(content)) == content


def test_narinfos_of_nix_are_read_verified_and_written_to_the_same_bytes(theirs: Path) -> None:
    secret = SecretKey.parse((theirs / "secret").read_text())
    public = PublicKey.parse((theirs / "public").read_text())
    assert secret.public == public
    files = sorted((theirs / "cache").glob("*.narinfo"))
    assert len(files) == CHAIN + 2
    for file in files:
        info = parse(file.read_bytes(), store_dir=STORE)
        assert render(info, STORE) == file.read_bytes()
        message = info.fingerprint(STORE)
        assert signers(message, info.signatures, [public]) == {public}
        assert info.signatures == (secret.sign(message),)
        archive = (theirs / "cache" / info.url).read_bytes()
        assert (Hash.of(archive), len(archive)) == (info.nar_hash, info.nar_size)


# A cache of ours: paths that inputs lead to, which Nix believes only by their signatures


def entries() -> Iterator[tuple[NarInfo, bytes]]:
    """Give paths with their archives, references before referrers."""
    made: list[StorePath] = []
    for number in range(CHAIN):
        path = make_output("out", Hash.of(b"%d" % number).base16, f"p{number}", STORE)
        references = {made[at] for at in (number - 1, number // 2, number // 3) if 0 <= at < number}
        data = f"{number} {' '.join(sorted(references))}".encode()
        opening = nar.MAGIC + nar.regular_open(len(data), executable=False)
        archive = opening + data + nar.regular_close(len(data))
        made.append(path)
        yield described(path, archive, frozenset({*references, path})), archive


def described(path: StorePath, archive: bytes, references: frozenset[StorePath]) -> NarInfo:
    return NarInfo(
        store_path=path,
        url=f"nar/{Hash.of(archive).nix32}.nar",
        compression="none",
        file_hash=Hash.of(archive),
        file_size=len(archive),
        nar_hash=Hash.of(archive),
        nar_size=len(archive),
        references=references,
        deriver=StorePath.parse(f"{path.digest}-{path.name}.drv"),
    )


ENTRIES = list(entries())
LAST = ENTRIES[-1][0].store_path
KEY = SecretKey.generate("ours-1")


def signed(info: NarInfo) -> NarInfo:
    return replace(info, signatures=(KEY.sign(info.fingerprint(STORE)),))


def write_cache(folder: Path, changed: Mapping[StorePath, bytes] | None = None) -> str:
    """Write the signed cache, with other narinfos for some paths; return its URL."""
    (folder / "nar").mkdir(parents=True)
    (folder / "nix-cache-info").write_bytes(render_cache_info(CacheInfo(STORE)))
    for info, archive in ENTRIES:
        content = render(signed(info), STORE)
        if changed:
            content = changed.get(info.store_path, content)
        (folder / f"{info.store_path.digest}.narinfo").write_bytes(content)
        (folder / info.url).write_bytes(archive)
    return f"file://{folder}"


def copy(nix: "Nix", url: str, trusted: str, *paths: StorePath) -> str:
    """Copy paths from a cache to Nix; return how it refuses them, or nothing."""
    done = nix.attempt(
        *("nix", "copy", "--from", url, "--option", "trusted-public-keys", trusted),
        *(path.full(STORE) for path in paths),
    )
    return done.stderr.decode() if done.returncode else ""


def test_nix_takes_what_we_signed(make_nix: "MakeNix", tmp_path: Path) -> None:
    other = make_nix()
    assert copy(other, write_cache(tmp_path / "cache"), str(KEY.public), LAST) == ""
    for info, archive in ENTRIES:
        path = os.fspath(other.physical(info.store_path.full(STORE)))
        assert nar.hash_path(path) == (Hash.of(archive), len(archive))
    requisites = other.lines("nix-store", "--query", "--requisites", LAST.full(STORE))
    assert sorted(requisites) == sorted(info.store_path.full(STORE) for info, _ in ENTRIES)
    trust = ("--option", "trusted-public-keys", str(KEY.public))
    other.run("nix", "store", "verify", *trust, *requisites)


def test_nix_writes_what_we_signed_as_we_wrote_it(make_nix: "MakeNix", tmp_path: Path) -> None:
    other, cache = make_nix(), tmp_path / "cache"
    copy(other, write_cache(cache), str(KEY.public), LAST)
    other.run("nix", "copy", "--to", f"file://{tmp_path}/again?compression=none", LAST.full(STORE))
    for file in cache.glob("*.narinfo"):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert len(list((tmp_path / "again").glob("*.narinfo"))) == CHAIN


def test_nix_refuses_what_a_stranger_signed(make_nix: "MakeNix", tmp_path: Path) -> None:
    stranger = SecretKey.generate("ours-1").public
    message = copy(make_nix(), write_cache(tmp_path / "cache"), str(stranger), LAST)
    assert "lacks a valid signature" in message


def turned(content: bytes, key: bytes, offset: int) -> bytes:
    """Return the narinfo with one character of a value changed; `offset` counts within it."""
    start = content.index(key + b": ") + len(key) + 2 + offset
    other = b"1" if content[start : start + 1] != b"1" else b"0"
    return content[:start] + other + content[start + 1 :]


@pytest.mark.parametrize(
    ("key", "offset"),
    [(b"Sig", 10), (b"Sig", 90), (b"NarHash", 20), (b"NarSize", 2), (b"References", 5)],
    ids=["Sig", "Sig-end", "NarHash", "NarSize", "References"],
)
def test_nix_and_we_refuse_a_narinfo_with_one_byte_changed(
    make_nix: "MakeNix", tmp_path: Path, key: bytes, offset: int
) -> None:
    first = ENTRIES[0][0]
    content = turned(render(signed(first), STORE), key, offset)
    url = write_cache(tmp_path / "cache", {first.store_path: content})
    assert copy(make_nix(), url, str(KEY.public), first.store_path) != ""
    try:
        info = parse(content, store_dir=STORE)
    except FormatError:
        return
    assert signers(info.fingerprint(STORE), info.signatures, [KEY.public]) == frozenset()


def test_nix_refuses_an_archive_with_one_byte_changed(make_nix: "MakeNix", tmp_path: Path) -> None:
    url = write_cache(tmp_path / "cache")
    info, archive = ENTRIES[0]
    at = archive.index(b"0 ")
    (tmp_path / "cache" / info.url).write_bytes(archive[:at] + b"1" + archive[at + 1 :])
    assert "hash mismatch" in copy(make_nix(), url, str(KEY.public), info.store_path)


def test_change_of_what_is_not_signed_does_not_matter(make_nix: "MakeNix", tmp_path: Path) -> None:
    first = ENTRIES[0][0]
    other = replace(signed(first), deriver=None, system="x86_64-linux")
    url = write_cache(tmp_path / "cache", {first.store_path: render(other, STORE)})
    assert copy(make_nix(), url, str(KEY.public), first.store_path) == ""
    assert signers(other.fingerprint(STORE), other.signatures, [KEY.public]) == {KEY.public}
