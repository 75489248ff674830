"""Profiles: numbered generations, and one link that says which of them is current.

`<name>-<N>-link` points to a store object, `<name>` to one of these links (Nix's
`profiles.cc`). The links are relative, so that the root can be moved. Asking for the current
object reads two links and nothing else, because every command does it.
"""

import os

from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from envtool.errors import ProfileError
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.settings import Settings


@value
class Generation:
    """One generation of a profile."""

    number: int
    """Counted from 1; numbers are not given twice while a later one exists."""
    path: "StorePath"
    """The store object that it is."""
    created: float
    """Seconds since the epoch."""


if TYPE_CHECKING:
    Choose = Callable[[list[Generation], Generation | None], list[Generation]]
    """Picks some of all generations of a profile, given its current one."""


class Profile:
    """The profile `name` in the folder `directory`, which need not exist yet.

    `store` is the physical store directory; without it the folder is one below `var/profiles`.
    """

    def __init__(self, directory: str, name: str, *, store: str | None = None) -> None:
        self.directory = directory
        self.name = name
        self.link = f"{directory}/{name}"
        self._prefix = "../../../store" if store is None else os.path.relpath(store, directory)

    # -- asking

    def current_object(self) -> str | None:
        """Return where the current generation's object lies; None when there is none."""
        try:
            target = os.readlink(f"{self.directory}/{os.readlink(self.link)}")
        except OSError:
            return None
        return os.path.normpath(f"{self.directory}/{target}")

    def current(self) -> Generation | None:
        """Return the current generation; None when there is none."""
        try:
            number = self._number(os.readlink(self.link))
        except OSError:
            return None
        return None if number is None else self._generation(number)

    def generations(self) -> list[Generation]:
        """Return the generations that exist, in order of their numbers."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refused(error) from error
        numbers = sorted(number for number in map(self._number, names) if number is not None)
        found = [self._generation(number) for number in numbers]
        return [generation for generation in found if generation is not None]

    def _number(self, link: str) -> int | None:
        head, tail = f"{self.name}-", "-link"
        digits = link[len(head) : -len(tail)]
        if link == f"{head}{digits}{tail}" and digits.isascii() and digits.isdigit():
            number = int(digits)
            return number if str(number) == digits else None
        return None

    def _generation(self, number: int) -> Generation | None:
        from envtool.errors import FormatError
        from envtool.formats.nix.storepath import StorePath

        link = self.generation_link(number)
        try:
            path = StorePath.parse(os.path.basename(os.readlink(link)))
            return Generation(number, path, os.lstat(link).st_mtime)
        except (OSError, FormatError):
            return None

    def generation_link(self, number: int) -> str:
        """Return the link that makes a generation a root."""
        return f"{self.directory}/{self.name}-{number}-link"

    # -- changing

    def set(self, path: "StorePath") -> Generation:
        """Make `path` the current generation, a new one unless it is that, or the latest, already.

        A process killed in between leaves the old one current.

        :raises ProfileError: the folder cannot be written to.
        """
        with self._changing():
            current = self.current()
            if current is not None and current.path == path:
                return current
            generations = self.generations()
            latest = generations[-1] if generations else None
            if latest is None or latest.path != path:
                number = 1 if latest is None else latest.number + 1
                self._point(self.generation_link(number), f"{self._prefix}/{path}")
                latest = self._existing(number)
            self._switch(latest.number)
        return latest

    def switch(self, number: int) -> Generation:
        """Make generation `number` current.

        :raises ProfileError: there is none of this number, or its object is gone.
        """
        with self._changing():
            generation = self._existing(number)
            if not os.path.lexists(f"{self.directory}/{self._prefix}/{generation.path}"):
                raise _error(
                    f"generation {number} of {self.name} cannot be used: "
                    f"{generation.path} is not in the store",
                    "envtool switch makes a new one from the lock",
                )
            self._switch(number)
        return generation

    def roll_back(self) -> tuple[Generation, Generation]:
        """Make the generation before the current one current; return both, current first.

        :raises ProfileError: there is none before it.
        """
        current = self.current()
        if current is None:
            raise _error(f"profile {self.name} has no current generation", "envtool switch")
        earlier = [item for item in self.generations() if item.number < current.number]
        if not earlier:
            raise _error(
                f"profile {self.name} has no generation before {current.number}",
                "envtool generations lists those that exist",
            )
        return current, self.switch(earlier[-1].number)

    def delete(self, numbers: "Iterable[int]") -> None:
        """Forget these generations; their objects go at the next collection of garbage.

        :raises ProfileError: one is the current generation or does not exist; then none goes.
        """
        with self._changing():
            self._unlink(self.check_deletion(numbers))

    def check_deletion(self, numbers: "Iterable[int]") -> list[str]:
        """Return the links of generations that may be forgotten.

        :raises ProfileError: one is the current generation or does not exist.
        """
        current, links = self.current(), []
        for number in sorted(set(numbers)):
            if current is not None and number == current.number:
                raise _error(
                    f"generation {number} of {self.name} is the current one",
                    "switch to another one first: envtool rollback",
                )
            links.append(self.generation_link(self._existing(number).number))
        return links

    def prune(self, choose: "Choose") -> "list[Generation]":
        """Forget those of all generations that `choose` picks, and return them.

        It is given all and the current one, while nobody else can change the profile.

        :raises ProfileError: the folder cannot be written to.
        """
        with self._changing():
            chosen = choose(self.generations(), self.current())
            self._unlink([self.generation_link(each.number) for each in chosen])
        return chosen

    def forget(self) -> None:
        """Remove the profile with all its generations, the current one too.

        :raises ProfileError: the folder cannot be written to.
        """
        with self._changing():
            links = [self.generation_link(each.number) for each in self.generations()]
            self._unlink([self.link, *links])

    def _unlink(self, links: "Iterable[str]") -> None:
        try:
            for link in links:
                if os.path.lexists(link):
                    os.unlink(link)
            self._flush()
        except OSError as error:
            raise self._refused(error) from error

    def generation(self, number: int) -> Generation:
        """Return one of the generations.

        :raises ProfileError: there is none of this number.
        """
        return self._existing(number)

    def _existing(self, number: int) -> Generation:
        found = self._generation(number)
        if found is None:
            known = ", ".join(str(item.number) for item in self.generations()) or "none"
            raise _error(
                f"profile {self.name} has no generation {number}; there are: {known}",
                "envtool generations",
            )
        return found

    def _switch(self, number: int) -> None:
        self._point(self.link, os.path.basename(self.generation_link(number)))

    def _point(self, link: str, target: str) -> None:
        """Make `link` point to `target` in one step, and have it on the disk."""
        # One name is enough under the lock, and a killed process leaves no more than that.
        temporary = f"{self.directory}/.tmp-{self.name}"
        try:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.rename(temporary, link)
            self._flush()
        except OSError as error:
            raise self._refused(error) from error

    def _flush(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _changing(self) -> "_Changing":
        try:
            os.makedirs(self.directory, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        return _Changing(self)

    def _refused(self, error: OSError) -> "ProfileError":
        return _error(
            f"cannot read or change profile {self.name}: "
            f"{error.filename or self.directory}: {error.strerror}",
            "set ENVTOOL_ROOT to a directory of yours",
        )


class _Changing:
    """Holds a profile's lock, so that one process at a time gives out numbers."""

    def __init__(self, profile: Profile) -> None:
        self._path = f"{profile.link}.lock"
        self._refused = profile._refused  # noqa: SLF001 - the other half of one class
        self._descriptor = -1

    def __enter__(self) -> None:
        import fcntl

        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise self._refused(error) from error

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _error(message: str, hint: str) -> "ProfileError":
    from envtool.errors import ProfileError

    return ProfileError(message, hint=hint)


def is_made_up(settings: "Settings", declaration: str) -> bool:
    """Return whether a declaration is one of `envtool.machine.adhoc`."""
    return declaration.startswith(f"{settings.cache}/")


def profile_of(settings: "Settings", declaration: str, name: str) -> Profile:
    """Return the profile `name` of the declaration at this path.

    It lies below `var/profiles` under the declaration's own absolute path, so that two projects may
    call their environments the same, a person sees whose it is, and `envtool run` finds it without
    computing a hash. That of a declaration that was made up lies beside it: it keeps nothing.
    """
    path = os.path.abspath(declaration)
    directory = f"{settings.profiles}{path}"
    if is_made_up(settings, path):
        directory = f"{os.path.dirname(path)}/profile"
    return Profile(directory, name, store=settings.store)
