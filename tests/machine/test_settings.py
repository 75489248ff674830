import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import platformdirs
import pytest

from envtool.errors import StoreError
from envtool.machine.settings import MOST_JOBS, Settings, load


def test_root_comes_from_its_variable_without_needless_slashes() -> None:
    assert load({"ENVTOOL_ROOT": "/data//envtool/./root/"}).root == "/data/envtool/root"


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": "/home/ada"},
        {"HOME": "/home/ada/"},
        {"HOME": "/home/ada", "XDG_DATA_HOME": "/data"},
        {"HOME": "/home/ada", "XDG_DATA_HOME": "/data/"},
        {"HOME": "/home/ada", "XDG_DATA_HOME": ""},
        {"HOME": "/home/ada", "XDG_DATA_HOME": "relative"},
        {"HOME": "relative"},
        {"HOME": ""},
        {},
    ],
)
def test_default_root_is_where_platformdirs_says(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert Path(load(environ).root) == platformdirs.user_data_path("envtool")


def test_relative_root_is_refused_with_the_absolute_one() -> None:
    with pytest.raises(StoreError, match="'store', which is not an absolute path") as caught:
        load({"ENVTOOL_ROOT": "store"})
    assert caught.value.hint == f"export ENVTOOL_ROOT={os.getcwd()}/store"


@pytest.mark.parametrize(
    "environ", [{"ENVTOOL_ROOT": "/mnt/a:b"}, {"HOME": "/home/a:b"}, {"XDG_DATA_HOME": "/a:b"}]
)
def test_root_that_no_search_path_can_hold_is_refused(environ: Mapping[str, str]) -> None:
    with pytest.raises(StoreError, match=r"a:b.* has a colon") as caught:
        load(environ)
    assert "ENVTOOL_ROOT" in (caught.value.hint or "")


def test_no_home_and_no_account_asks_for_a_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(StoreError, match="no home directory") as caught:
        load({})
    assert caught.value.hint is not None
    assert "ENVTOOL_ROOT" in caught.value.hint


def test_jobs_default_to_the_processors_at_hand() -> None:
    assert load({"HOME": "/h"}).jobs == min(len(os.sched_getaffinity(0)), MOST_JOBS)
    assert load({"HOME": "/h", "ENVTOOL_JOBS": "3"}).jobs == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²", " 2"])
def test_jobs_that_are_no_number_from_one_are_refused(text: str) -> None:
    with pytest.raises(StoreError, match="ENVTOOL_JOBS"):
        load({"HOME": "/h", "ENVTOOL_JOBS": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), ("YES", True), ("0", False), ("off", False), ("", False)],
)
def test_offline_is_a_switch(text: str, expected: bool) -> None:
    assert load({"HOME": "/h", "ENVTOOL_OFFLINE": text}).offline is expected


def test_flushing_is_on_unless_switched_off() -> None:
    assert load({"HOME": "/h"}).fsync is True
    assert load({"HOME": "/h", "ENVTOOL_FSYNC": "0"}).fsync is False


def test_sharing_is_on_unless_switched_off() -> None:
    assert load({"HOME": "/h"}).optimise is True
    assert load({"HOME": "/h", "ENVTOOL_OPTIMISE": "0"}).optimise is False


def test_sharing_with_everything_is_off_unless_asked_for() -> None:
    for value, expected in {"": (True, False), "0": (False, False), "all": (True, True)}.items():
        settings = load({"HOME": "/h", "ENVTOOL_OPTIMISE": value})
        assert (settings.optimise, settings.optimise_all) == expected


@pytest.mark.parametrize("name", ["ENVTOOL_OFFLINE", "ENVTOOL_FSYNC", "ENVTOOL_OPTIMISE"])
def test_switch_that_is_neither_on_nor_off_is_refused(name: str) -> None:
    with pytest.raises(StoreError, match=f"{name} is 'maybe'"):
        load({"HOME": "/h", name: "maybe"})


def test_everything_lies_below_the_root() -> None:
    settings = Settings("/r")
    assert settings.store == "/r/store"
    assert settings.database == "/r/var/db/db.sqlite"
    assert settings.profiles == "/r/var/profiles"
    assert settings.gcroots == "/r/var/gcroots"
    assert settings.temproots == "/r/var/temproots"
    assert settings.logs == "/r/var/log"
    assert settings.cache == "/r/cache"


def test_reading_settings_imports_nothing_slow() -> None:
    code = (
        "import sys; from envtool.machine.settings import load; load({'HOME': '/h'});"
        "print([m for m in ('sqlite3', 'platformdirs', 'pathlib', 'pwd', 'hashlib')"
        " if m in sys.modules and m not in before])"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; before = set(sys.modules); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"
