"""What a cell shows of a build."""

from envtool.kernel.relay.progress import Progress, waiting
from envtool.reporting import Step


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_picture_tells_sizes_rates_and_what_is_at_work() -> None:
    clock = Clock()
    progress = Progress("plot.ipynb", clock)
    progress.expect("fetch", 5, 40_000_000)
    steps = [Step("fetch", f"wheel-{number}.whl", 8_000_000) for number in range(5)]
    for step in steps:
        progress.start(step)
    clock.now = 2.0
    progress.advance(steps[0], 8_000_000)
    progress.finish(steps[0])
    progress.advance(steps[1], 2_000_000)
    labels = "wheel 1, wheel 2, wheel 3"
    assert progress.picture()["text/plain"].splitlines() == [
        "envtool: building the environment of plot.ipynb, 2.0 s",
        f"  fetching 1 of 5, 10.0 MB of 40.0 MB (5.0 MB/s): {labels} and 1 more",
    ]
    assert "<progress value='0.250' max='1'" in progress.picture()["text/html"]


def test_files_are_told_as_the_packages_they_are() -> None:
    names = {
        "pillow-13.0.0-cp311-cp311-manylinux_2_28_x86_64.whl": "pillow 13.0.0",
        "python_dateutil-4.0.0.post1-py3-none-any.whl": "python_dateutil 4.0.0.post1",
        "zope.interface-7.2.tar.gz": "zope.interface 7.2",
        "libgcc-s1_14.2.0-19_amd64.deb": "libgcc-s1 14.2.0",
        "quickstart-env": "quickstart-env",
    }
    for label, told in names.items():
        progress = Progress("plot.ipynb", Clock())
        progress.start(Step("unpack", label))
        assert progress.picture()["text/plain"].splitlines()[1:] == [f"  unpacking: {told}"]


def test_a_phase_that_is_done_is_summed_up_and_stays_so() -> None:
    clock = Clock()
    progress = Progress("plot.ipynb", clock)
    progress.expect("unpack", 1, None)
    progress.start(Step("unpack", "wheel.whl"))
    clock.now = 3.0
    progress.finish(Step("unpack", "wheel.whl"))
    clock.now = 9.0
    assert progress.picture()["text/plain"].splitlines() == [
        "envtool: building the environment of plot.ipynb, 9.0 s",
        "  unpacked 1 artifact in 3.0 s",
    ]


def test_the_newest_note_is_shown() -> None:
    progress = Progress("plot.ipynb", Clock())
    progress.note("an old one")
    progress.note("waiting for process 7")
    assert progress.picture()["text/plain"].splitlines()[1:] == ["  waiting for process 7"]


def test_names_do_not_become_html() -> None:
    picture = waiting("<b>.ipynb", "a & b")
    assert "<b>.ipynb" in picture["text/plain"]
    assert "&lt;b&gt;.ipynb" in picture["text/html"]
    assert "a &amp; b" in picture["text/html"]
