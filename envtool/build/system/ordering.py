"""The order in which packages are set up: each behind what it depends on, as far as that can be.

Essential packages come first, since others use them without saying so (Policy 3.8). Of packages
that depend on each other in a circle, the one that is reached last comes first. The same packages
give the same order.
"""

from collections.abc import Sequence

from envtool.build.system.unpacking import Laid

__all__ = ["ordered"]


def ordered(packages: Sequence[Laid]) -> tuple[Laid, ...]:
    """Return the packages in the order in which their scripts are to run."""
    by_name = {each.name: each for each in packages}
    providers: dict[str, str] = {}
    for each in sorted(packages, key=lambda each: each.name, reverse=True):
        providers |= dict.fromkeys(each.provides, each.name)
    found: dict[str, Laid] = {}
    begun: set[str] = set()
    for first in sorted(packages, key=lambda each: (not each.essential, each.name)):
        todo = [(first, False)]
        while todo:
            package, is_done = todo.pop()
            if is_done:
                found.setdefault(package.name, package)
                continue
            if package.name in begun:
                continue
            begun.add(package.name)
            todo.append((package, True))
            for group in reversed(package.needs):
                names = (
                    providers.get(name, name) if name not in by_name else name for name in group
                )
                below = next((by_name[name] for name in names if name in by_name), None)
                if below is not None:
                    todo.append((below, False))
    return tuple(found.values())
