"""The cache of the host's dynamic loader, with ldconfig as the judge."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.loader_cache import parse

CACHE = Path("/etc/ld.so.cache")
needs_cache = pytest.mark.skipif(not CACHE.exists(), reason="this machine has no such cache")


@needs_cache
def test_it_has_what_ldconfig_says_that_it_has() -> None:
    command = ["/sbin/ldconfig", "-p"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = set(re.findall(r"^\t(\S+) \(.*\) => (\S+)$", shown, re.MULTILINE))
    found = parse(CACHE.read_bytes())
    assert {(name, path) for name, paths in found.items() for path in paths} == pairs
    assert len(pairs) > 10


@pytest.mark.parametrize("data", [b"", b"glibc", b"glibc-ld.so.cache1.1", b"\0" * 4096])
def test_what_is_no_cache_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="cache of the dynamic loader"):
        parse(data)


@needs_cache
@given(at=st.integers(0, 400), change=st.binary(min_size=1, max_size=8))
def test_damage_is_an_error_or_another_cache(at: int, change: bytes) -> None:
    data = bytearray(CACHE.read_bytes())
    data[at : at + len(change)] = change
    try:
        found = parse(bytes(data))
    except FormatError:
        return
    assert all(paths for paths in found.values())
