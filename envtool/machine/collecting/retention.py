"""Which generations may go: by age, by number, or all but the current one of a profile."""

import os
from collections.abc import Iterable, Iterator, Sequence

from envtool.machine.disk import disk_errors
from envtool.machine.profile import Generation, Profile
from envtool.machine.settings import Settings
from envtool.values import value

__all__ = ["Pruned", "Retention", "find_profiles", "forget_gone", "prune"]


@value
class Retention:
    """What is to stay; a generation that one of the rules keeps stays, the current one always."""

    older_than: float | None = None
    """Keep what is younger than so many seconds, and the one that was the latest by then."""
    keep: int | None = None
    """Keep so many of the highest numbers."""

    def doomed(
        self, generations: Sequence[Generation], current: Generation | None, now: float
    ) -> list[Generation]:
        """Return those of all generations of a profile, in order of their numbers, that may go.

        `now` is in seconds since the epoch. Without any rule only the current one stays.
        """
        kept = set() if current is None else {current.number}
        if self.keep is not None:
            kept |= {each.number for each in generations[-self.keep :]}
        if self.older_than is not None:
            kept |= self._young(generations, now - self.older_than)
        return [each for each in generations if each.number not in kept]

    def _young(self, generations: Sequence[Generation], since: float) -> set[int]:
        """Return what was current at some time since then (Nix's `deleteGenerationsOlderThan`)."""
        young, latest = set(), None
        for each in generations:
            if each.created >= since:
                young.add(each.number)
            else:
                latest = each.number
        return young if latest is None else young | {latest}


@value
class Pruned:
    """A generation that was forgotten, or would be."""

    declaration: str
    """The path of the declaration that it belongs to."""
    environment: str
    number: int
    link: str
    """What made it a root."""


def prune(
    profiles: Iterable[tuple[str, Profile]],
    retention: Retention,
    now: float,
    *,
    dry_run: bool = False,
) -> list[Pruned]:
    """Forget the generations of these profiles that may go; return them.

    :raises ProfileError: a profile cannot be changed.
    """

    def choose(generations: list[Generation], current: Generation | None) -> list[Generation]:
        return retention.doomed(generations, current, now)

    pruned = []
    for declaration, profile in profiles:
        if dry_run:
            chosen = choose(profile.generations(), profile.current())
        else:
            chosen = profile.prune(choose)
        pruned += [_pruned(declaration, profile, each) for each in chosen]
    return pruned


def forget_gone(settings: Settings, *, dry_run: bool = False) -> list[Pruned]:
    """Forget all generations of environments whose declaration is no longer there; return them.

    :raises ProfileError: a profile cannot be changed.
    """
    pruned = []
    for declaration, profile in list(find_profiles(settings)):
        if not os.path.lexists(declaration):
            pruned += [_pruned(declaration, profile, each) for each in profile.generations()]
            if not dry_run:
                profile.forget()
    return pruned


def _pruned(declaration: str, profile: Profile, generation: Generation) -> Pruned:
    link = profile.generation_link(generation.number)
    return Pruned(declaration, profile.name, generation.number, link)


def find_profiles(settings: Settings) -> Iterator[tuple[str, Profile]]:
    """Yield all profiles of the root, each with the path of the declaration that it belongs to."""
    for folder, folders, files in os.walk(settings.profiles, onerror=_refuse):
        # Links to folders count as folders, and links to what is gone as files.
        links = [name for name in (*folders, *files) if name.endswith("-link")]
        found = {name.rsplit("-", 2)[0] for name in links}
        for name in sorted(found):
            profile = Profile(folder, name, store=settings.store)
            if profile.generations():
                yield folder[len(settings.profiles) :], profile


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return
    with disk_errors("look for profiles"):
        raise error
