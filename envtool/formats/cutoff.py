"""Until when an index is seen, as people write it: a date, a time, or an age."""

import re
from datetime import UTC, datetime, timedelta

__all__ = ["check_time", "cutoff"]

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))?"
).fullmatch
_AGE = re.compile(r"(\d{1,4})\s*(h|d|w)").fullmatch
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def check_time(written: str) -> None:
    """Check that a text is a date (`2026-01-31`) or a time of RFC 3339.

    :raises ValueError: it is neither, or there is no such day.
    """
    if _TIME(written) is None:
        raise ValueError("the form is none of RFC 3339")
    datetime.fromisoformat(written.upper())


def cutoff(written: str, now: float) -> str:
    """Return a date or time as it stands, and an age (`36h`, `7d`, `2w`) as the time it means.

    `now` is in seconds since the epoch.

    :raises ValueError: it is none of these; the text says what is expected.
    """
    age = _AGE(written.strip())
    try:
        if age is None:
            check_time(written)
            return written
        then = datetime.fromtimestamp(int(now), UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    except (ValueError, OverflowError) as error:
        expected = "a date such as 2026-01-31, or an age such as 7d"
        raise ValueError(f"'{written}' is not {expected} ({error})") from error
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")
