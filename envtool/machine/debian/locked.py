"""Fetch the packages that a lock pins: from the first place that has the very file."""

from collections.abc import Callable

from envtool.errors import FetchError
from envtool.formats.debian.package import DebianPackage
from envtool.machine.debian.mirrors import Mirrors
from envtool.machine.fetching.arrival import Arrived
from envtool.machine.fetching.fetch import AbsentError, FetchCancelledError, Fetcher
from envtool.sources.debian.signature import ArchiveError

__all__ = ["fetch_locked"]

_HINT = (
    "name an archive of Debian's past states, which has it: "
    "export ENVTOOL_DEBIAN_PAST=https://HOST/archive/{archive}/{timestamp}; "
    "or take what there is today: envtool lock --upgrade"
)


def fetch_locked(
    fetcher: Fetcher,
    mirrors: Mirrors,
    package: DebianPackage,
    target: str,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Arrived:
    """Fetch a package to the path `target`, from a mirror or the archive of past states.

    `on_bytes` hears how many bytes have newly arrived; a negative number takes back.
    What one place lacks, garbles or does not answer for, the next may have.

    :raises ArchiveError: no place is known, or none has it.
    :raises FetchError: none has it, and one did not answer or has other bytes under its name.
    """
    urls = mirrors.urls(package)
    if not urls:
        mirrors.of(package.archive)  # tells how to name one
    arrived = 0

    def count(size: int) -> None:
        nonlocal arrived
        arrived += size
        on_bytes(size)

    failures: list[FetchError] = []
    for url in urls:
        try:
            return fetcher.fetch(
                url, target, sha256=package.sha256, size=package.size, on_bytes=count
            )
        except FetchCancelledError:
            raise
        except FetchError as error:
            failures.append(error)
            count(-arrived)
    wrong = [each for each in failures if not isinstance(each, AbsentError)]
    if wrong:
        raise wrong[0]
    raise ArchiveError(
        f"no mirror has {package.filename} any more: {failures[-1]}",
        hint=_HINT if mirrors.past is None else "take what there is today: envtool lock --upgrade",
    )
