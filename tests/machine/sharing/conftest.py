"""Stores whose objects share nothing by themselves, or what they have in common."""

from collections.abc import Iterator

import pytest

from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.values import replace


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Give a store whose objects share nothing by themselves."""
    with Store(replace(settings, optimise=False)) as store:
        yield store


@pytest.fixture
def sharing(settings: Settings) -> Iterator[Store]:
    """Give a store as it is by default."""
    with Store(settings) as store:
        yield store
