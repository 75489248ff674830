import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import ProfileError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.profile import Profile, profile_of
from envtool.machine.settings import Settings
from envtool.machine.store import Store

if TYPE_CHECKING:
    from machine.conftest import AsOwner, Kills


@pytest.fixture
def profile(settings: Settings) -> Profile:
    return profile_of(settings, "/project/envtool.toml", "default")


@pytest.fixture
def objects(store: Store) -> list[StorePath]:
    return [store.add_text(f"object-{number}", b"") for number in range(4)]


def numbers(profile: Profile) -> list[int]:
    return [generation.number for generation in profile.generations()]


def current(profile: Profile) -> int | None:
    generation = profile.current()
    return None if generation is None else generation.number


def test_profile_that_was_never_set_has_nothing(profile: Profile, settings: Settings) -> None:
    assert profile.current() is None
    assert profile.current_object() is None
    assert profile.generations() == []
    assert not os.path.exists(settings.root)


def test_setting_makes_numbered_generations(
    profile: Profile, objects: list[StorePath], store: Store
) -> None:
    made = [profile.set(path) for path in objects[:2]]
    assert [generation.number for generation in made] == [1, 2]
    assert profile.generations() == made
    assert profile.current() == made[1]
    assert profile.current_object() == store.physical(objects[1])


def test_links_are_relative_so_that_the_root_can_be_moved(
    profile: Profile, objects: list[StorePath], settings: Settings, tmp_path: Path
) -> None:
    profile.set(objects[0])
    assert os.readlink(profile.link) == "default-1-link"
    assert not os.path.isabs(os.readlink(f"{profile.directory}/default-1-link"))
    os.rename(settings.root, tmp_path / "moved")
    moved = profile_of(Settings(str(tmp_path / "moved")), "/project/envtool.toml", "default")
    assert moved.current_object() == f"{tmp_path}/moved/store/{objects[0]}"
    assert os.path.exists(str(moved.current_object()))


def test_setting_the_latest_again_makes_no_generation(
    profile: Profile, objects: list[StorePath]
) -> None:
    profile.set(objects[0])
    profile.set(objects[1])
    profile.switch(1)
    assert profile.set(objects[1]).number == 2
    assert (numbers(profile), current(profile)) == ([1, 2], 2)


def test_setting_what_was_gone_back_to_makes_no_generation(
    profile: Profile, objects: list[StorePath]
) -> None:
    for path in objects[:2]:
        profile.set(path)
    profile.switch(1)
    assert profile.set(objects[0]).number == 1
    assert (numbers(profile), current(profile)) == ([1, 2], 1)


def test_setting_an_older_object_again_makes_a_generation(
    profile: Profile, objects: list[StorePath]
) -> None:
    for path in (objects[0], objects[1], objects[0]):
        profile.set(path)
    assert (numbers(profile), current(profile)) == ([1, 2, 3], 3)


def test_setting_after_a_rollback_keeps_the_later_ones(
    profile: Profile, objects: list[StorePath]
) -> None:
    for path in objects[:3]:
        profile.set(path)
    profile.switch(1)
    assert profile.set(objects[3]).number == 4
    assert numbers(profile) == [1, 2, 3, 4]


def test_roll_back_over_a_hole_keeps_numbers(profile: Profile, objects: list[StorePath]) -> None:
    for path in objects[:3]:
        profile.set(path)
    profile.delete([2])
    before, after = profile.roll_back()
    assert (before.number, after.number) == (3, 1)
    assert (numbers(profile), current(profile)) == ([1, 3], 1)


def test_roll_back_from_the_first_is_an_error(profile: Profile, objects: list[StorePath]) -> None:
    with pytest.raises(ProfileError, match="no current generation"):
        profile.roll_back()
    profile.set(objects[0])
    with pytest.raises(ProfileError, match="no generation before 1"):
        profile.roll_back()
    assert current(profile) == 1


def test_switching_to_what_does_not_exist_lists_what_does(
    profile: Profile, objects: list[StorePath]
) -> None:
    profile.set(objects[0])
    profile.set(objects[1])
    with pytest.raises(ProfileError, match=r"no generation 7; there are: 1, 2"):
        profile.switch(7)
    assert current(profile) == 2


def test_switching_to_a_generation_without_its_object_is_an_error(
    profile: Profile, objects: list[StorePath], store: Store
) -> None:
    profile.set(objects[0])
    profile.set(objects[1])
    os.unlink(store.physical(objects[0]))
    with pytest.raises(ProfileError, match="is not in the store"):
        profile.switch(1)
    assert current(profile) == 2


def test_current_generation_cannot_be_deleted(profile: Profile, objects: list[StorePath]) -> None:
    for path in objects[:3]:
        profile.set(path)
    with pytest.raises(ProfileError, match="is the current one"):
        profile.delete([1, 3])
    with pytest.raises(ProfileError, match="no generation 9"):
        profile.delete([1, 9])
    assert numbers(profile) == [1, 2, 3]
    profile.delete([2, 1, 1])
    assert numbers(profile) == [3]


def test_strange_files_in_the_folder_are_no_generations(
    profile: Profile, objects: list[StorePath]
) -> None:
    profile.set(objects[0])
    for name in (
        "default-x-link",
        "default-01-link",
        "default--link",
        "other-2-link",
        "default-²-link",
    ):
        os.symlink("/nowhere", f"{profile.directory}/{name}")
    os.symlink("/not-a-store-path", f"{profile.directory}/default-8-link")
    Path(f"{profile.directory}/default-9-link").write_text("")
    assert numbers(profile) == [1]


def test_profiles_of_two_projects_or_two_names_are_two(
    settings: Settings, objects: list[StorePath]
) -> None:
    profiles = [
        profile_of(settings, "/a/envtool.toml", "default"),
        profile_of(settings, "/b/envtool.toml", "default"),
        profile_of(settings, "/a/envtool.toml", "docs"),
    ]
    for profile, path in zip(profiles, objects, strict=False):
        profile.set(path)
    assert [profile.generations()[0].path for profile in profiles] == objects[:3]
    assert [current(profile) for profile in profiles] == [1, 1, 1]


def test_threads_that_set_at_once_never_share_a_number(settings: Settings, store: Store) -> None:
    paths = [store.add_text(f"at-once-{number}", b"") for number in range(8)]

    def switch(path: StorePath) -> None:
        profile_of(settings, "/p", "default").set(path)

    threads = [threading.Thread(target=switch, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    generations = profile_of(settings, "/p", "default").generations()
    assert [generation.number for generation in generations] == list(range(1, 9))
    assert {generation.path for generation in generations} == set(paths)


def test_kill_while_switching_leaves_the_old_or_the_new_one_current(kills: "Kills") -> None:
    assert kills("switch", every=3) > 50


def test_read_only_profile_can_be_read_and_says_why_it_cannot_change(
    profile: Profile, objects: list[StorePath], settings: Settings, as_owner: "AsOwner"
) -> None:
    profile.set(objects[0])
    for folder, _, _ in os.walk(settings.root):
        os.chmod(folder, 0o555)
    code = (
        "import sys; from envtool.machine.profile import *; from envtool.errors import *\n"
        "from envtool.machine.settings import Settings\n"
        "from envtool.formats.nix.storepath import StorePath\n"
        "profile = profile_of(Settings(sys.argv[2]), '/project/envtool.toml', 'default')\n"
        "print(profile.current().number)\n"
        "try: profile.set(StorePath.parse(sys.argv[3]))\n"
        "except ProfileError as error: print(error.message, error.hint)"
    )
    number, refusal = as_owner(code, settings.root, objects[1]).splitlines()
    assert number == "1"
    assert re.search(r"profile default: .*Permission denied.*ENVTOOL_ROOT", refusal)


def test_reading_the_current_object_imports_no_database(
    profile: Profile, objects: list[StorePath]
) -> None:
    profile.set(objects[0])
    code = (
        "import sys; before = set(sys.modules)\n"
        "from envtool.machine.profile import Profile\n"
        "assert Profile(sys.argv[1], 'default').current_object()\n"
        "print(*{'sqlite3', 'hashlib', 'ctypes', 'envtool.formats.nix.storepath'}"
        " & sys.modules.keys() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, profile.directory], capture_output=True, text=True, check=True
    )
    assert run.stdout == "\n"
