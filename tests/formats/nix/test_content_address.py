"""Content addresses: which `ca` fields lead to which store paths; a real Nix is the judge."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FormatError
from envtool.formats.nix import content_address, nar
from envtool.formats.nix.content_address import ContentAddress
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.narinfo import CacheInfo, NarInfo, parse, render, render_cache_info
from envtool.formats.nix.storepath import (
    StorePath,
    make_fixed_output,
    make_output,
    make_source,
    make_text,
)
from envtool.values import replace

if TYPE_CHECKING:
    from formats.nix.conftest import MakeNix, Nix

STORE = "/nix/store"
DATA = b"the contents"
ARCHIVE = nar.MAGIC + nar.regular_open(len(DATA), executable=False) + DATA
ARCHIVE += nar.regular_close(len(DATA))
NAR, FILE = Hash.of(ARCHIVE), Hash.of(DATA)
BELOW = make_text("below", b"", store_dir=STORE)
SHA1, NAR_SHA1 = Hash.of(DATA, "sha1"), Hash.of(ARCHIVE, "sha1")


def narinfo(
    path: StorePath, ca: str | None, references: Iterable[StorePath] = (), content: bytes = ARCHIVE
) -> NarInfo:
    return NarInfo(
        store_path=path,
        url=f"nar/{path.digest}.nar",
        compression="none",
        file_hash=Hash.of(content),
        file_size=len(content),
        nar_hash=Hash.of(content),
        nar_size=len(content),
        references=frozenset(references),
        ca=ca,
    )


TRUE = {
    "text": narinfo(make_text("t", DATA, store_dir=STORE), f"text:{FILE}"),
    "text with a reference": narinfo(make_text("t", DATA, [BELOW], STORE), f"text:{FILE}", [BELOW]),
    "tree": narinfo(make_source("t", NAR.digest, store_dir=STORE), f"fixed:r:{NAR}"),
    "tree with a reference": narinfo(
        make_source("t", NAR.digest, [BELOW], store_dir=STORE), f"fixed:r:{NAR}", [BELOW]
    ),
    "file": narinfo(make_fixed_output("t", FILE, store_dir=STORE), f"fixed:{FILE}"),
    "file by SHA-1": narinfo(make_fixed_output("t", SHA1, store_dir=STORE), f"fixed:{SHA1}"),
    "tree by SHA-1": narinfo(
        make_fixed_output("t", NAR_SHA1, recursive=True, store_dir=STORE), f"fixed:r:{NAR_SHA1}"
    ),
}
OF_INPUTS = make_output("out", Hash.of(b"inputs").base16, "t", STORE)
FALSE = {
    "no field": replace(TRUE["tree"], ca=None),
    "path of inputs": narinfo(OF_INPUTS, f"fixed:r:{NAR}"),
    "path of another tree": replace(TRUE["tree"], ca=f"fixed:r:{Hash.of(b'another')}"),
    "field of another archive": narinfo(
        TRUE["tree"].store_path, TRUE["tree"].ca, content=ARCHIVE.replace(b"the", b"our")
    ),
    "method of a file": replace(TRUE["tree"], ca=f"fixed:{NAR}"),
    "method of a text": replace(TRUE["file"], ca=f"text:{FILE}"),
    "one reference more": replace(TRUE["tree"], references=frozenset({BELOW})),
    "one reference less": replace(TRUE["tree with a reference"], references=frozenset()),
    "text with one reference less": replace(TRUE["text with a reference"], references=frozenset()),
}


@pytest.mark.parametrize("info", TRUE.values(), ids=TRUE)
def test_path_to_which_its_field_leads_needs_no_signature(info: NarInfo) -> None:
    assert info.is_content_addressed(STORE)
    assert not info.is_content_addressed("/other/store")


def test_what_a_cache_of_nix_says_of_sources_and_texts_is_true() -> None:
    files = sorted((Path(__file__).parent / "vectors").glob("cache-*/*.narinfo"))
    infos = [parse(file.read_bytes(), store_dir=STORE) for file in files]
    addressed = [info for info in infos if info.ca is not None]
    assert len(addressed) > 5
    assert all(info.is_content_addressed(STORE) for info in addressed)


@pytest.mark.parametrize("info", FALSE.values(), ids=FALSE)
def test_path_to_which_its_field_does_not_lead_is_not_believed(info: NarInfo) -> None:
    assert not info.is_content_addressed(STORE)


def test_tree_that_refers_to_itself_is_addressed_by_the_hash_without_itself() -> None:
    modulo = Hash.of(b"the archive with its own digest blanked")
    path = make_source("t", modulo.digest, [BELOW], refers_to_itself=True, store_dir=STORE)
    info = narinfo(path, f"fixed:r:{modulo}", [BELOW, path])
    assert info.is_content_addressed(STORE)
    assert not replace(info, references=frozenset({BELOW})).is_content_addressed(STORE)


def test_only_trees_by_sha_256_refer_to_themselves_and_only_they_and_texts_to_others() -> None:
    for method, content in (("text", FILE), ("fixed", FILE), ("fixed", SHA1), ("fixed:r", SHA1)):
        address = ContentAddress(method, content)  # type: ignore[arg-type]
        for info in TRUE.values():
            assert not address.leads_to(info.store_path, {info.store_path}, STORE)
            if method != "text":
                assert not address.leads_to(info.store_path, {BELOW}, STORE)


@pytest.mark.parametrize(
    "text",
    [
        *("", "text", f"text:{SHA1}", "fixed", "fixed:r", f"fixed:R:{NAR}", f"fixed:r:{NAR}\n"),
        *("fixed:sha256", "fixed:sha256:0", f"fixed:{NAR.sri}", f"{NAR}", f"fixed:git:{SHA1}"),
    ],
)
def test_field_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        content_address.parse(text)


def taken(nix: "Nix", folder: Path, info: NarInfo) -> bool:
    """Return whether Nix takes the path from a cache that nobody has signed."""
    content = ARCHIVE if info.nar_hash == NAR else ARCHIVE.replace(b"the", b"our")
    empty = nar.MAGIC + nar.regular_open(0, executable=False) + nar.regular_close(0)
    (folder / "nar").mkdir()
    (folder / "nix-cache-info").write_bytes(render_cache_info(CacheInfo(STORE)))
    below = narinfo(BELOW, f"text:{Hash.of(b'')}", content=empty)
    for each, archive in ((info, content), (below, empty)):
        (folder / f"{each.store_path.digest}.narinfo").write_bytes(render(each, STORE))
        (folder / each.url).write_bytes(archive)
    path = info.store_path.full(STORE)
    done = nix.attempt("nix", "copy", "--from", f"file://{folder}", path)
    return done.returncode == 0 and os.path.lexists(nix.physical(path))


@pytest.mark.parametrize("name", [*TRUE, *FALSE])
def test_nix_takes_without_a_signature_what_we_do(
    make_nix: "MakeNix", tmp_path: Path, name: str
) -> None:
    info = {**TRUE, **FALSE}[name]
    assert taken(make_nix(), tmp_path, info) == info.is_content_addressed(STORE)
