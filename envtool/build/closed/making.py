"""Make the object of an interpreter of our own from its unpacked .debs."""

from collections.abc import Sequence

from envtool.build.closed.joining import check_libraries, join
from envtool.build.closed.library import compile_all, complete
from envtool.build.closed.shutting import shut

__all__ = ["make"]


def make(trees: Sequence[str], target: str, feature: str) -> None:
    """Make the new folder `target` of the unpacked .debs of a feature release, such as `3.13`.

    What is made depends on the .debs alone, and runs wherever the folder lies: by the program that
    `envtool.build.closed.localising` makes.

    :raises BuildError: they do not make an interpreter; it says what is missing.
    """
    join(trees, target, feature)
    check_libraries(target)
    shut(target)
    complete(target, feature)
    compile_all(target, feature)
