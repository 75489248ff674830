"""Make a system root of .debs: unpack them, run their scripts, leave what is the same."""

from collections.abc import Iterator, Sequence

from envtool.build.system.configuring import LIMIT, configure
from envtool.build.system.ordering import ordered
from envtool.build.system.settling import settle
from envtool.build.system.unpacking import lay_out

__all__ = ["make"]


def make(
    debs: Sequence[tuple[str, str]],
    target: str,
    *,
    bwrap: str,
    log: str,
    allowed: frozenset[str],
    jobs: int,
    limit: int = LIMIT,
) -> Iterator[str]:
    """Make the new folder `target` of .debs, given by path and file name; yield what to tell.

    What is made depends on the .debs and on whose scripts may fail (`allowed`) alone. The log gets
    what the scripts say.

    :raises DebError: one must not be unpacked.
    :raises BuildError: two packages do not go together, or a script failed.
    """
    laid = ordered(lay_out(debs, target, f"{target}-unpacked", jobs=jobs))
    stripped = [(each.name, *found) for each in laid for found in each.stripped]
    if stripped:
        shown = ", ".join(f"/{place}" for _, place, _ in stripped[:3])
        more = f" and {len(stripped) - 3} more" if len(stripped) > 3 else ""  # noqa: PLR2004
        yield f"no setuid programs in a system root: {shown}{more}"
    for failure in configure(bwrap, target, laid, log=log, allowed=allowed, limit=limit):
        yield f"allowed to fail: {failure.package}'s {failure.script}; the log: {log}"
    settle(target)
