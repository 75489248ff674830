"""A store with a small graph in it, and what the program prints about it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from envtool.formats.nix.storepath import StorePath
from envtool.machine.settings import load
from envtool.machine.store import Store


@dataclass(frozen=True)
class Shelf:
    """`app` in two versions: the first needs `zlib` and `libc`, the second `zlib` alone."""

    store: Store
    libc: StorePath
    zlib: StorePath
    app1: StorePath
    app2: StorePath

    def place(self, path: StorePath) -> str:
        return self.store.physical(path)


@pytest.fixture
def store(place: Any) -> Iterator[Store]:
    """Give the store of the root that the program works on."""
    with Store(load(place.environ)) as store:
        yield store


@pytest.fixture
def shelf(store: Store) -> Shelf:
    """Fill the store."""
    libc = store.add_text("libc-2.36", b"libc")
    zlib = store.add_text("zlib-1.3", libc.full().encode(), [libc])
    app1 = store.add_text("app-1.0", f"{libc.full()} {zlib.full()}".encode(), [libc, zlib])
    app2 = store.add_text("app-2.0", zlib.full().encode() * 300, [zlib])
    return Shelf(store, libc, zlib, app1, app2)


@pytest.fixture
def lines(envtool: Any) -> Any:
    """Run `envtool store …`, which must work, and return the lines it prints."""

    def run(*words: str, **more: Any) -> list[str]:
        ended = envtool("store", *words, **more)
        assert (ended.returncode, ended.stderr) == (0, "")
        return list(ended.stdout.splitlines())

    return run


@pytest.fixture
def shape(envtool: Any) -> Any:
    """Run `envtool store … --json`, which must work, and return the object it prints."""

    def run(*words: str, **more: Any) -> Any:
        ended = envtool("store", *words, "--json", **more)
        assert (ended.returncode, ended.stderr) == (0, "")
        return json.loads(ended.stdout)

    return run


@pytest.fixture
def refusal(envtool: Any) -> Any:
    """Run `envtool store …`, which must fail, and return what it says on stderr."""

    def run(*words: str, code: int = 1, **more: Any) -> str:
        ended = envtool("store", *words, **more)
        assert (ended.returncode, ended.stdout) == (code, "")
        return str(ended.stderr)

    return run
