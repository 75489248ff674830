"""A store in a root of its own for each test of the machine floor."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from envtool.machine.settings import Settings
from envtool.machine.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of an empty root, which do not wait for the disk."""
    return Settings(str(tmp_path / "root"), fsync=False)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Give a store that holds nothing yet."""
    with Store(settings) as store:
        yield store
