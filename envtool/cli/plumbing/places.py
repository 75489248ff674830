"""What a PATH on the command line means: found out here and nowhere else.

In this order: a store path, logical (`/envtool/store/…`) or physical; a base name; the beginning
of one, at least 8 digits; a file or link that leads into the store; an environment of the project,
`default`, or one of its generations, `default@3`. Each may have a path below it behind a slash.
"""

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from envtool.cli.arguments import Parser, completed_by
from envtool.cli.session import Session, working_directory
from envtool.errors import DeclarationError, EnvtoolError, FormatError, ProfileError, StoreError
from envtool.formats.nix.hashing import ALPHABET
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.asking import inside
from envtool.machine.settings import load
from envtool.values import value

if TYPE_CHECKING:
    from envtool.machine.database import Database
    from envtool.machine.store import Store

__all__ = ["Asked", "Place", "beginnings", "take_path", "take_paths"]

_BEGINNING = re.compile(rf"[{ALPHABET}]{{8,32}}(?:-[A-Za-z0-9+\-._?=]*)?")
_ENVIRONMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:@([0-9]{1,9}))?")
_MOST_NAMED = 8
_MOST_COMPLETED = 200


@value
class Place:
    """A store path, and what is meant below it."""

    path: StorePath
    inside: str = ""
    """Without a slash at either end, links not followed; empty for the object itself."""


def take_path(parser: Parser, name: str = "path", *, metavar: str = "PATH", what: str = "") -> None:
    """Let a command take one PATH."""
    completed_by(
        parser.add_argument(name, metavar=metavar, help=what or "see `envtool store --help`"),
        "store paths",
    )


def take_paths(parser: Parser) -> None:
    """Let a command take PATHs, at least one."""
    action = parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="see `envtool store --help`"
    )
    completed_by(action, "store paths")


class Asked:
    """The store that is asked, and what words mean in it. Nothing is created by asking."""

    def __init__(self, session: Session) -> None:
        environ = dict(os.environ)
        if session.options.offline:
            environ["ENVTOOL_OFFLINE"] = "1"
        self.session = session
        self.settings = load(environ)
        self._store: Store | None = None

    @cached_property
    def database(self) -> "Database":
        """What is registered; many commands for files need nothing of it, nor of SQLite."""
        from envtool.machine.database import Database

        return Database(self.settings.database)

    @property
    def store(self) -> "Store":
        """The store, for the few commands that change it."""
        from envtool.machine.store import Store

        if self._store is None:
            self._store = Store(self.settings)
        return self._store

    def physical(self, path: StorePath) -> str:
        """Return where the object lies."""
        return f"{self.settings.store}/{path}"

    def paths(self, words: Iterable[str]) -> list[StorePath]:
        """Return the valid paths that the words mean, each once, in their order.

        For something below an object it is the object that this really lies in, links followed.

        :raises EnvtoolError: one means nothing, several things, or a path that is not valid.
        """
        found = dict.fromkeys(map(self._object, words))
        self._require(found)
        return list(found)

    def path(self, word: str) -> StorePath:
        """Return the one that a word means, as `paths` does."""
        return self.paths([word])[0]

    def entry(self, word: str) -> inside.Entry:
        """Return the file or folder of a valid object that a word means, links followed."""
        place = self.place(word)
        self._require([place.path])
        return inside.find(self.settings.store, place.path, place.inside)

    def place(self, word: str) -> Place:
        """Return what a word means, valid or not.

        :raises EnvtoolError: it means nothing, or several things.
        """
        for meaning in (self._store_path, self._beginning, self.led, self._environment):
            found = meaning(word)
            if found is not None:
                return found
        raise self._unknown(word)

    def _object(self, word: str) -> StorePath:
        place = self.place(word)
        if not place.inside:
            return place.path
        self._require([place.path])
        return inside.find(self.settings.store, place.path, place.inside).path

    def _require(self, paths: Iterable[StorePath]) -> None:
        wanted = list(paths)
        valid = self.database.valid(wanted)
        for path in wanted:
            if path not in valid:
                there = os.path.lexists(self.physical(path))
                raise StoreError(
                    f"{path} lies in the store directory, but is not registered: a leftover"
                    if there
                    else f"{path} is not in the store {self.settings.store}",
                    hint="envtool gc removes it" if there else None,
                )

    def _store_path(self, word: str) -> Place | None:
        name, below = word, ""
        for folder in (STORE_DIR, self.settings.store):
            name = name.removeprefix(f"{folder}/")
        name, _, below = name.partition("/")
        try:
            return Place(StorePath.parse(name), below.strip("/"))
        except FormatError:
            return None

    def _beginning(self, word: str) -> Place | None:
        from envtool.machine.asking import queries

        start, _, below = word.partition("/")
        if not _BEGINNING.fullmatch(start):
            return None
        found = queries.starting_with(self.database, start, most=_MOST_NAMED + 1)
        if len(found) > 1:
            raise StoreError(f"{start} is the beginning of several store paths: {_listed(found)}")
        return Place(found[0], below.strip("/")) if found else None

    def led(self, word: str) -> Place | None:
        """Return where a file's name leads if that is into the store; None if it does not."""
        folders = {STORE_DIR, self.settings.store, os.path.realpath(self.settings.store)}
        begun = word if os.path.isabs(word) else f"{working_directory()}/{word}"
        todo, at, links = deque(begun.split("/")), "", 0
        while todo:
            part = todo.popleft()
            if part in {"", ".", ".."}:
                at = os.path.dirname(at).rstrip("/") if part == ".." else at
                continue
            if at in folders:
                return self._store_path("/".join([part, *todo]))
            at = f"{at}/{part}"
            if os.path.islink(at) and links < inside.MOST_LINKS:
                links += 1
                target = os.readlink(at)
                todo.extendleft(reversed(target.split("/")))
                at = "" if os.path.isabs(target) else os.path.dirname(at).rstrip("/")
        return None

    def _environment(self, word: str) -> Place | None:
        from envtool.machine.profile import profile_of

        start, _, below = word.partition("/")
        match = _ENVIRONMENT.fullmatch(start)
        if match is None:
            return None
        name, number = match[1], match[2]
        try:
            project = self.session.project()
        except DeclarationError:
            if number is None:
                return None
            raise
        profile = profile_of(self.settings, project.path, name)
        found = {each.number: each.path for each in profile.generations()}
        current = profile.current()
        if number is not None and int(number) in found:
            return Place(found[int(number)], below.strip("/"))
        if number is None and current is not None:
            return Place(current.path, below.strip("/"))
        if number is None and name != "default" and not found:
            return None
        raise _no_generation(name, number, found)

    def _unknown(self, word: str) -> EnvtoolError:
        from envtool.machine.asking import queries

        parts = word.rstrip("/").split("/")
        name = parts[-1 if word.startswith(("/", ".")) else 0]
        # Shorter texts occur in everything.
        near = queries.called(self.database, name, most=_MOST_NAMED + 1) if len(name) > 2 else []  # noqa: PLR2004
        if near:
            return StoreError(
                f"no store path is {word!a}; called so are: {_listed(near)}",
                hint="give the first digits of the one you mean",
            )
        if not os.path.exists(self.settings.database):
            return StoreError(
                f"{word!a} cannot be found: there is no store in {self.settings.root} yet",
                hint="`envtool switch` makes one; ENVTOOL_ROOT says where it lies",
            )
        what = "leads to no store path" if os.path.lexists(word) else "is no store path"
        return StoreError(
            f"{word!a} {what} of {self.settings.store}, and no environment is called so",
            hint="envtool store --help tells what a PATH may be",
        )


def beginnings(session: Session, typed: str) -> Iterator[tuple[str, str]]:
    """Offer the PATHs that begin with what was typed, for completion."""
    from envtool.machine.asking import queries

    asked = Asked(session)
    folders = (f"{STORE_DIR}/", f"{asked.settings.store}/")
    lead = next((folder for folder in folders if typed.startswith(folder)), "")
    if lead or (typed and "/" not in typed):
        start = typed.removeprefix(lead)
        for path in queries.starting_with(asked.database, start, most=_MOST_COMPLETED):
            yield f"{lead}{path}", ""
    yield from _generations(asked)


def _generations(asked: Asked) -> Iterator[tuple[str, str]]:
    from envtool.machine.profile import profile_of

    project = asked.session.project()
    profile = profile_of(asked.settings, project.path, project.environment)
    generations = profile.generations()
    if generations:
        yield project.environment, "the current generation"
    for generation in generations:
        yield f"{project.environment}@{generation.number}", "a generation"


def _listed(paths: Sequence[StorePath]) -> str:
    more = ", …" if len(paths) > _MOST_NAMED else ""
    return ", ".join(paths[:_MOST_NAMED]) + more


def _no_generation(name: str, number: str | None, found: Iterable[int]) -> ProfileError:
    known = ", ".join(map(str, found))
    if number is None or not known:
        return ProfileError(f"environment {name} has no generation yet", hint="envtool switch")
    return ProfileError(
        f"environment {name} has no generation {number}; there are: {known}",
        hint="envtool generations",
    )
