import pytest

from envtool.formats.notebooks.chance import without_chance


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<Axes at 0x7f12>", "<Axes at 0xFF00>"),
        ("/tmp/ipykernel_8/27.py:1: UserWarning: x", "/tmp/ipykernel_9/27.py:1: UserWarning: x"),
        ("\r  0%| | 0/3\r 33%| | 1/3\r100%|█| 3/3\n", "\r  0%| | 0/3\r100%|█| 3/3\n"),
        ("3/3 [00:00<00:00, 87381.33it/s]", "3/3 [01:02<00:03, 32017.59it/s]"),
        ("0/3 [00:00<?, ?it/s]", "0/3 [00:01<?, ?it/s]"),
        ("2/3 [1:00:00<30:00, 1800.00s/it, loss=1]", "2/3 [1:00:01<30:09, 1809.00s/it, loss=1]"),
        ("a\r\nb\r\n", "a\nb\n"),
    ],
)
def test_what_no_run_can_repeat_is_the_same(one: str, other: str) -> None:
    assert without_chance(one) == without_chance(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 07f12", "at 07f13"),
        ("/tmp/ipykernel_8/27.py:1: x", "/tmp/ipykernel_8/27.py:2: x"),
        ("100%|█| 3/3 [00:00<00:00, 9it/s]", "100%|█| 4/4 [00:00<00:00, 9it/s]"),
        ("wait\rdone a\n", "wait\rdone b\n"),
        ("a\r", "b\r"),
        ("[12:30]", "[12:31]"),
        ("[1<2]", "[1<3]"),
    ],
)
def test_what_somebody_means_counts(one: str, other: str) -> None:
    assert without_chance(one) != without_chance(other)
