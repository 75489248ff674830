"""Names of suites: what comes to a release between two point releases has suites of its own."""

__all__ = ["later_suites", "number_of", "release_of"]

_NUMBERS = {
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "forky": "14",
    "duke": "15",
}
_LATER = ("-updates", "-security")


def release_of(suite: str) -> str:
    """Return the release that a suite belongs to: `trixie` for `trixie-security`, and for itself.

    >>> release_of("bookworm-security"), release_of("sid")
    ('bookworm', 'sid')
    """
    for ending in _LATER:
        if suite.endswith(ending):
            return suite.removesuffix(ending)
    return suite


def later_suites(release: str) -> tuple[str, ...]:
    """Return the names of the suites that a release may have beside its own."""
    return tuple(release + ending for ending in _LATER)


def number_of(release: str) -> str | None:
    """Return the number of a release, such as 13 for `trixie`; None where none is known."""
    return _NUMBERS.get(release)
