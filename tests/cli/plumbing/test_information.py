"""`store path-info`, `deriver`, `log` and `diff-closures`."""

from pathlib import Path
from typing import Any

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation, Output, with_output_paths
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo


@pytest.fixture
def realised(store: Any) -> tuple[StorePath, StorePath]:
    """Add a derivation and its output; return both paths."""
    bare = Derivation("made-1.0", {"out": Output(None)}, {}, frozenset(), "x", "b", (), {})
    built = with_output_paths(bare, lambda _: "")
    drv = store.add_derivations([built])[0]
    temporary = store.scratch("made")
    Path(temporary).write_text("made")
    nar_hash, size = nar.hash_path(temporary)
    store.place(temporary, built.output_path(), canonical=False)
    info = PathInfo(
        built.output_path(),
        nar_hash,
        size,
        frozenset(),
        deriver=drv,
        registration_time=86400,
        signatures=("key:c2ln",),
    )
    store.register([info])
    return drv, built.output_path()


def test_path_info_reads_like_narinfo(
    shelf: Any, realised: tuple[StorePath, StorePath], lines: Any
) -> None:
    info = shelf.store.info(shelf.app1)
    closure = [shelf.app1, shelf.zlib, shelf.libc]
    assert lines("path-info", "-s", shelf.app1) == [
        f"StorePath: {shelf.app1.full()}",
        f"NarHash: {info.nar_hash}",
        f"NarSize: {info.nar_size}",
        f"ClosureSize: {sum(shelf.store.info(path).nar_size for path in closure)}",
        f"References: {' '.join(sorted([shelf.libc, shelf.zlib]))}",
        f"CA: {info.ca}",
    ]
    drv, output = realised
    assert lines("path-info", output)[3:] == ["References:", f"Deriver: {drv}", "Sig: key:c2ln"]


def test_path_info_of_a_closure_has_a_block_for_each(shelf: Any, lines: Any, shape: Any) -> None:
    blocks = "\n".join(lines("path-info", "-r", shelf.app1)).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        f"StorePath: {path.full()}" for path in sorted([shelf.app1, shelf.zlib, shelf.libc])
    ]
    told = {each["path"]: each for each in shape("path-info", "-rs", shelf.app1)["paths"]}
    zlib = told[shelf.zlib.full()]
    assert zlib["closure_size"] == zlib["nar_size"] + told[shelf.libc.full()]["nar_size"]


def test_path_info_as_json_has_every_fact(
    realised: tuple[StorePath, StorePath], store: Any, shape: Any
) -> None:
    drv, output = realised
    assert shape("path-info", output)["paths"] == [
        {
            "path": output.full(),
            "physical": store.physical(output),
            "nar_hash": store.info(output).nar_hash.sri,
            "nar_size": 120,
            "references": [],
            "deriver": drv.full(),
            "ca": None,
            "ultimate": True,
            "registered": "1970-01-02T00:00:00Z",
            "signatures": ["key:c2ln"],
        }
    ]


def test_deriver_is_told_or_unknown(
    shelf: Any, realised: tuple[StorePath, StorePath], lines: Any, shape: Any
) -> None:
    drv, output = realised
    assert lines("deriver", output, shelf.app1) == [shelf.place(drv), "unknown-deriver"]
    assert [each["deriver"] for each in shape("deriver", output, shelf.app1)["paths"]] == [
        drv.full(),
        None,
    ]


def test_log_is_found_by_the_output_and_by_the_derivation(
    realised: tuple[StorePath, StorePath], store: Any, lines: Any, shape: Any, refusal: Any
) -> None:
    drv, output = realised
    assert f"there is no build log of {output}" in refusal("log", output)
    log = Path(store.settings.logs, f"{output}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("building\nfailed\n")
    assert lines("log", output) == lines("log", drv) == ["building", "failed"]
    told = shape("log", drv)
    assert (told["log"], told["text"]) == (str(log), "building\nfailed\n")


def test_log_of_what_was_never_valid_is_found(store: Any, lines: Any) -> None:
    failed = StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-failed-1.0")
    log = Path(store.settings.logs, f"{failed}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("error\n")
    assert lines("log", failed) == ["error"]


def test_log_on_a_terminal_keeps_colours_only(
    realised: tuple[StorePath, StorePath], store: Any, spawn: Any
) -> None:
    _, output = realised
    log = Path(store.settings.logs, f"{output}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\x1b[31mred\x1b[0m\x1b[2J\x07 \ttab\n")
    child = spawn("store", "log", output)
    child.expect_exact("\x1b[31mred\x1b[0m\\x1b[2J\\x07     tab")
    child.wait()
    assert child.exitstatus == 0


def test_diff_closures_shows_versions_and_what_grew(shelf: Any, lines: Any, shape: Any) -> None:
    [line] = lines("diff-closures", shelf.app1, shelf.app2)
    assert line.split() == ["app:", "1.0", "→", "2.0", "+16.7", "kB"]
    assert lines("diff-closures", shelf.app1, shelf.app1) == []
    gone = lines("diff-closures", shelf.app2, shelf.libc)
    assert [line.split()[:4] for line in gone] == [
        ["app:", "2.0", "→", "∅"],
        ["zlib:", "1.3", "→", "∅"],
    ]
    [app] = shape("diff-closures", shelf.app1, shelf.app2)["differences"]
    assert (app["name"], app["removed"], app["added"]) == ("app", ["1.0"], ["2.0"])
    assert app["size_before"] == shelf.store.info(shelf.app1).nar_size
    assert app["size_after"] == shelf.store.info(shelf.app2).nar_size
