"""Until when an index is seen, as people write it."""

import pytest

from envtool.formats.cutoff import check_time, cutoff

NOW = 1_767_225_600.5
"""2026-01-01T00:00:00.5Z."""


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("2025-06-01", "2025-06-01"),
        ("2025-06-01T12:00:00Z", "2025-06-01T12:00:00Z"),
        ("7d", "2025-12-25T00:00:00Z"),
        ("36h", "2025-12-30T12:00:00Z"),
        (" 2 w", "2025-12-18T00:00:00Z"),
        ("0d", "2026-01-01T00:00:00Z"),
    ],
)
def test_an_age_becomes_a_time_and_a_time_stays(written: str, means: str) -> None:
    assert cutoff(written, NOW) == means
    check_time(means)


@pytest.mark.parametrize("written", ["", "7", "7m", "-7d", "2026-13-01", "99999w", "2025-06-01T12"])
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="such as 7d"):
        cutoff(written, NOW)
