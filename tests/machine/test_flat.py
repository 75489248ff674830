"""Single files, addressed by their contents alone."""

import os
from pathlib import Path

import pytest

from envtool.errors import StoreError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import make_fixed_output
from envtool.machine.flat import add_flat
from envtool.machine.mending.verify import verify
from envtool.machine.store import Store


def test_the_path_follows_from_the_contents(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "data"
    source.write_bytes(b"x" * 3_000_001)
    source.chmod(0o755)
    path = add_flat(store, str(source), "data.bin")
    contents = Hash.of(source.read_bytes())
    assert path == make_fixed_output("data.bin", contents)
    assert store.info(path).ca == f"fixed:{contents}"
    assert os.stat(store.physical(path)).st_mode & 0o777 == 0o444
    assert verify(store, contents=True) == []
    assert add_flat(store, str(source), "data.bin") == path


@pytest.mark.parametrize("kind", ["folder", "fifo", "nothing"])
def test_what_is_no_file_is_refused_and_leaves_nothing(
    store: Store, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / kind
    if kind == "folder":
        source.mkdir()
    elif kind == "fifo":
        os.mkfifo(source)
    with pytest.raises(StoreError, match=r"is no file|No such file"):
        add_flat(store, str(source), "data")
    left = Path(store.settings.store)
    assert not left.exists() or not list(left.iterdir())
