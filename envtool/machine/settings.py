"""Settings: where the root lies and how much of the machine may be used.

The only reader of environment variables: everything below and above takes a `Settings`.
"""

from __future__ import annotations

import os

from envtool.errors import StoreError
from envtool.values import value

MOST_JOBS = 8
"""More unpackers than this only wait for the same disk."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Mode = Literal["auto", "require", "off"]
else:
    Mode = str

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})


@value
class Settings:
    """Where things lie and how they are done. Paths are absolute, without a trailing slash."""

    root: str
    """Holds everything of envtool's: `store`, `var` and `cache`."""
    jobs: int = 1
    """How many units may be realised at once; at least 1."""
    offline: bool = False
    """Nothing may be fetched; what is in the store still works."""
    fsync: bool = True
    """Flush objects to the disk before they are registered. Without it a power cut may leave
    registered objects damaged; a killed process never does."""
    optimise: bool = True
    """Share files with older versions of an object while it is made."""
    optimise_all: bool = False
    """Share the files of an object that is added with whatever else is known to be the same."""
    sandbox: Mode = "auto"
    """Whether source packages are built in a sandbox: `off` never, `require` always, `auto` always
    but, on a machine that denies it, for projects of the user's own disk."""
    path: str = os.defpath
    """Where programs of the host, such as the sandbox's, are looked for."""
    debian_mirrors: tuple[str, ...] = ()
    """URLs of mirrors of Debian, asked before those of the host's apt; `{archive}` in one stands
    for `debian` or `debian-security`."""
    debian_past: str | None = None
    """The URL of an archive that keeps every state, with `{archive}` and `{timestamp}` in it."""
    debian_keys: str = ""
    """A file of keys that Debian's archive may be signed with, instead of those of envtool."""
    debian_check_age: bool = True
    """Whether a suite that is past its Valid-Until is refused."""
    driver_folders: tuple[str, ...] = ()
    """Where the libraries of the host's GPU driver lie; none: where distributions have them."""
    standalone_mirror: str = ""
    """The URL of a mirror of python-build-standalone, asked before its makers' own place."""

    @property
    def store(self) -> str:
        """The physical store directory."""
        return f"{self.root}/store"

    @property
    def state(self) -> str:
        """What Nix calls its state directory."""
        return f"{self.root}/var"

    @property
    def database(self) -> str:
        """The SQLite file that says which store paths are valid."""
        return f"{self.state}/db/db.sqlite"

    @property
    def gcroots(self) -> str:
        """Links below it keep what they point to."""
        return f"{self.state}/gcroots"

    @property
    def temproots(self) -> str:
        """Where a real Nix working on our store notes what it is about to use."""
        return f"{self.state}/temproots"

    @property
    def profiles(self) -> str:
        """One folder per profile, with its generations."""
        return f"{self.state}/profiles"

    @property
    def logs(self) -> str:
        """The output of builders."""
        return f"{self.state}/log"

    @property
    def cache(self) -> str:
        """What can be made again: bytecode, answers of indexes."""
        return f"{self.root}/cache"


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings that the variables ask for.

    `ENVTOOL_ROOT` (absolute; default `envtool` below the user's data directory),
    `ENVTOOL_JOBS` (default the processors at hand, at most 8), `ENVTOOL_OFFLINE`,
    `ENVTOOL_FSYNC` (1 or 0), `ENVTOOL_OPTIMISE` (1, 0 or all), `ENVTOOL_SANDBOX` (auto, require
    or off),
    `ENVTOOL_DEBIAN_MIRROR` (URLs, separated by spaces), `ENVTOOL_DEBIAN_PAST` (a URL),
    `ENVTOOL_DEBIAN_KEYS` (a path), `ENVTOOL_DEBIAN_CHECK_AGE` (1 or 0),
    `ENVTOOL_STANDALONE_MIRROR` (a URL), `ENVTOOL_DRIVERS` (folders, separated by colons). An
    empty variable counts as unset.

    :raises StoreError: a variable has another form, or no root can be determined or used.
    """
    root = _root(environ)
    if ":" in root:
        raise StoreError(
            f"the root {root} has a colon in it, which PATH and PYTHONPATH cannot hold",
            hint="export ENVTOOL_ROOT=/a/directory/of/yours",
        )
    share_all = environ.get("ENVTOOL_OPTIMISE") == "all"
    return Settings(
        root=root,
        jobs=_jobs(environ.get("ENVTOOL_JOBS", "")),
        offline=_flag(environ, "ENVTOOL_OFFLINE", default=False),
        fsync=_flag(environ, "ENVTOOL_FSYNC", default=True),
        optimise=share_all or _flag(environ, "ENVTOOL_OPTIMISE", default=True),
        optimise_all=share_all,
        sandbox=_mode(environ.get("ENVTOOL_SANDBOX", "")),
        path=environ.get("PATH", os.defpath),
        debian_mirrors=tuple(environ.get("ENVTOOL_DEBIAN_MIRROR", "").split()),
        debian_past=environ.get("ENVTOOL_DEBIAN_PAST") or None,
        debian_keys=environ.get("ENVTOOL_DEBIAN_KEYS", ""),
        debian_check_age=_flag(environ, "ENVTOOL_DEBIAN_CHECK_AGE", default=True),
        driver_folders=tuple(filter(None, environ.get("ENVTOOL_DRIVERS", "").split(":"))),
        standalone_mirror=environ.get("ENVTOOL_STANDALONE_MIRROR", ""),
    )


def _root(environ: Mapping[str, str]) -> str:
    root = environ.get("ENVTOOL_ROOT", "")
    if not root:
        return f"{_user_data(environ).rstrip('/')}/envtool"
    if not os.path.isabs(root):
        raise StoreError(
            f"ENVTOOL_ROOT is {root!r}, which is not an absolute path",
            hint=f"export ENVTOOL_ROOT={os.path.abspath(root)}",
        )
    return "/" + "/".join(part for part in root.split("/") if part not in {"", "."})


def _user_data(environ: Mapping[str, str]) -> str:
    """Return what `platformdirs.user_data_dir()` does, whose import takes 9 ms."""
    data = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):
        return data
    home = environ.get("HOME", "")
    return f"{(home if os.path.isabs(home) else _home_of_account()).rstrip('/')}/.local/share"


def _home_of_account() -> str:
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = ""
    if not os.path.isabs(home):
        raise StoreError(
            f"there is no home directory to keep the store in: "
            f"HOME is not set and user {os.getuid()} has none",
            hint="export ENVTOOL_ROOT=/a/directory/of/yours",
        )
    return home


def _jobs(text: str) -> int:
    if not text:
        return min(len(os.sched_getaffinity(0)), MOST_JOBS)
    if not (text.isascii() and text.isdigit()) or int(text[:9]) < 1:
        raise StoreError(f"ENVTOOL_JOBS is {text!r}, which is not a whole number from 1")
    return int(text[:9])


def _mode(text: str) -> Mode:
    if text == "off":
        return "off"
    if text in {"", "auto"}:
        return "auto"
    if text == "require":
        return "require"
    raise StoreError(f"ENVTOOL_SANDBOX is {text!r}: it must be auto, require or off")


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").lower()
    if not text:
        return default
    if text in _YES or text in _NO:
        return text in _YES
    raise StoreError(f"{name} is {environ[name]!r}, which is neither 1 nor 0")
