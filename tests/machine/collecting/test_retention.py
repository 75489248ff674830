"""Which generations may go: by age, by number, of one profile or of all; and clocks that jump."""

import os
from pathlib import Path

import pytest

from envtool.errors import ProfileError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.retention import (
    Pruned,
    Retention,
    find_profiles,
    forget_gone,
    prune,
)
from envtool.machine.profile import Generation, Profile, profile_of
from envtool.machine.settings import Settings
from envtool.machine.store import Store

PATH = StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-a")
DAY = 86400.0
NOW = 1000 * DAY


def made(*days_ago: float) -> list[Generation]:
    """Return generations 1, 2, … that were made so many days ago."""
    return [Generation(at, PATH, NOW - days * DAY) for at, days in enumerate(days_ago, 1)]


def doomed(
    generations: list[Generation], current: int | None, *, days: float | None = None, keep: int = 0
) -> list[int]:
    chosen = next((each for each in generations if each.number == current), None)
    older_than = None if days is None else days * DAY
    retention = Retention(older_than, keep or None)
    return [each.number for each in retention.doomed(generations, chosen, NOW)]


def test_without_a_rule_only_the_current_one_stays() -> None:
    assert doomed(made(3, 2, 1), 2) == [1, 3]
    assert doomed(made(3, 2, 1), None) == [1, 2, 3]
    assert doomed([], None) == []


def test_newest_stay_and_the_current_one_beside_them() -> None:
    generations = made(50, 40, 30, 20, 10)
    assert doomed(generations, 5, keep=2) == [1, 2, 3]
    assert doomed(generations, 1, keep=2) == [2, 3]
    assert doomed(generations, 5, keep=9) == []


def test_what_was_current_within_the_age_stays() -> None:
    generations = made(50, 40, 30, 20, 10)
    # 30 days ago it was generation 3 that was current until generation 4 was made.
    assert doomed(generations, 5, days=25) == [1, 2]
    assert doomed(generations, 5, days=5) == [1, 2, 3, 4]
    assert doomed(generations, 1, days=5) == [2, 3, 4]
    assert doomed(generations, 5, days=60) == []


def test_what_one_of_two_rules_keeps_stays() -> None:
    generations = made(50, 40, 30, 20, 10)
    assert doomed(generations, 5, days=25, keep=4) == [1]
    assert doomed(generations, 5, days=45, keep=1) == []


def test_generation_from_the_future_is_young() -> None:
    generations = made(50, -4000, 40, 30, 0)
    assert doomed(generations, 5, days=20) == [1, 3]
    assert doomed(made(-10, -20), 2, days=1) == []


def test_clock_that_fell_back_to_the_epoch_dooms_nothing() -> None:
    generations = [Generation(number, PATH, 700 * DAY) for number in (1, 2)]
    retention = Retention(30 * DAY)
    assert retention.doomed(generations, generations[0], 0.0) == []


@pytest.fixture
def profiles(store: Store, settings: Settings, tmp_path: Path) -> dict[str, Profile]:
    """Make two environments of a project and one of another, each with three generations."""
    found = {}
    for folder, name in (("lake", "default"), ("lake", "ci"), ("river", "default")):
        (tmp_path / folder).mkdir(exist_ok=True)
        declaration = tmp_path / folder / "envtool.toml"
        declaration.touch()
        profile = profile_of(settings, str(declaration), name)
        for number in (1, 2, 3):
            profile.set(store.add_text(f"{folder}-{name}-{number}", b""))
        found[f"{folder} {name}"] = profile
    return found


def numbers(profiles: dict[str, Profile]) -> dict[str, list[int]]:
    return {name: [each.number for each in of.generations()] for name, of in profiles.items()}


def test_all_profiles_of_the_root_are_found(
    profiles: dict[str, Profile], settings: Settings, tmp_path: Path
) -> None:
    found = {(name, profile.link) for name, profile in find_profiles(settings)}
    assert found == {
        (str(tmp_path / name.split()[0] / "envtool.toml"), profile.link)
        for name, profile in profiles.items()
    }


def test_profiles_of_a_root_that_was_never_used_are_none(settings: Settings) -> None:
    assert list(find_profiles(settings)) == []
    assert not os.path.exists(settings.root)


def test_generations_of_every_profile_go(
    profiles: dict[str, Profile], settings: Settings, tmp_path: Path
) -> None:
    profiles["lake ci"].switch(1)
    pruned = prune(find_profiles(settings), Retention(keep=1), NOW)
    assert numbers(profiles) == {"lake default": [3], "lake ci": [1, 3], "river default": [3]}
    of_ci = [each for each in pruned if each.environment == "ci"]
    declaration = str(tmp_path / "lake/envtool.toml")
    link = profiles["lake ci"].generation_link(2)
    assert of_ci == [Pruned(declaration, "ci", 2, link)]
    assert len(pruned) == 5


def test_generations_of_one_profile_go(profiles: dict[str, Profile]) -> None:
    prune([("lake", profiles["lake ci"])], Retention(), NOW)
    assert numbers(profiles) == {
        "lake default": [1, 2, 3],
        "lake ci": [3],
        "river default": [1, 2, 3],
    }


def test_dry_run_says_the_same_and_changes_nothing(
    profiles: dict[str, Profile], settings: Settings
) -> None:
    planned = prune(find_profiles(settings), Retention(keep=2), NOW, dry_run=True)
    assert set(map(len, numbers(profiles).values())) == {3}
    assert prune(find_profiles(settings), Retention(keep=2), NOW) == planned != []


def test_environments_whose_declaration_is_gone_are_forgotten(
    profiles: dict[str, Profile], settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "lake/envtool.toml").unlink()
    planned = forget_gone(settings, dry_run=True)
    assert set(map(len, numbers(profiles).values())) == {3}
    assert forget_gone(settings) == planned
    assert {(each.environment, each.number) for each in planned} == {
        (name, number) for name in ("default", "ci") for number in (1, 2, 3)
    }
    assert numbers(profiles) == {"lake default": [], "lake ci": [], "river default": [1, 2, 3]}
    assert profiles["lake ci"].current() is None


def test_folder_of_profiles_that_cannot_be_changed_is_an_error(
    profiles: dict[str, Profile], tmp_path: Path
) -> None:
    profile = profiles["lake ci"]
    lock = Path(f"{profile.link}.lock")
    lock.unlink()
    lock.mkdir()
    with pytest.raises(ProfileError, match="cannot read or change profile ci"):
        prune([("lake", profile)], Retention(), NOW)
    assert numbers(profiles)["lake ci"] == [1, 2, 3]
