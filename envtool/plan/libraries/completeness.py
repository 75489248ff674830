"""Complete closures by reading: who provides each library that the wheels' ELF files need.

What is opened by name at run time (ctypes, cffi) no ELF file says: that is told (`Contents.opens`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from envtool.machine.libraries import Libraries
from envtool.plan.libraries.loading import Loader, Node, Provider, provider
from envtool.sources.binaries import Binary
from envtool.sources.opened import Opened
from envtool.values import replace, value

__all__ = ["Contents", "Need", "is_driver", "judge", "lacks"]

_DRIVERS = ("libcuda.so", "libcudadebugger.so", "libnvidia-", "libnvcuvid.so", "libnvoptix.so")
_WORST: Sequence[Provider] = ("own", "other", "machine", "loaded", "nothing")
_BROUGHT: Sequence[Provider] = ("own", "other")
_MODULE = re.compile(r"(?:^|/)(?:[^/]*\.(?:cpython-\d+[^/.]*|abi3)|(?!lib)[^/.]*)\.so$").search
"""An extension module by its name; libraries are named `lib…`."""


@value
class Contents:
    """What of a wheel counts here."""

    name: str
    """Of the package, normalised."""
    binaries: tuple[Binary, ...]
    requires: tuple[str, ...] = ()
    """Names of packages of the same environment."""
    opens: tuple[Opened, ...] = ()
    """What its code opens by name."""


@value
class Need:
    """A library, or a version of its symbols, that a file of a wheel needs."""

    wheel: str
    file: str | None
    """Its place in the unpacked wheel, `site-packages/cv2/cv2.abi3.so`; None for what is opened
    by name."""
    soname: str
    """For what a program asks to be started by: the loader's absolute path."""
    version: str | None
    """Such as `GLIBC_2.38`; None for the library as a whole."""
    provider: Provider
    """`nothing` is a lack: there is no such library, or it does not define the version."""
    by: str | None
    """Path of the library, or its place in a wheel; of a lacking version, too."""
    essential: bool
    """An import needs it, as far as names tell: the file is an extension module or is loaded by
    one, or no module loads anything of its wheel, so that code opens it. Else it is of a plugin or
    program that few ever use."""
    newest: str | None = None
    """Of a lacking version: the newest of its kind that the library has, `GLIBC_2.36`."""


def lacks(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Return what nothing provides."""
    return tuple(need for need in needs if need.provider == "nothing")


def is_driver(soname: str) -> bool:
    """Say whether a library is part of a GPU's driver, which belongs to the host alone."""
    return soname.startswith(_DRIVERS)


def judge(wheels: Sequence[Contents], machine: Libraries) -> tuple[Need, ...]:
    """Return each need of each file of the wheels, with who provides it; sorted.

    A file that others load is judged as they load it: with the worst outcome of these. Files that
    are not for the program's kind of machine are passed over.
    """
    return _Judge(wheels, machine).run()


_Tree = tuple[frozenset[str], tuple[Need, ...]]
"""Places of files that are loaded together, and what they need."""


class _Judge:
    def __init__(self, wheels: Sequence[Contents], machine: Libraries) -> None:
        program = machine.open(machine.program)
        nodes = {
            binary.place: Node(binary.place, binary.elf, wheel.name)
            for wheel in reversed(wheels)
            for binary in wheel.binaries
            if program is not None and binary.elf.target == program.target
        }
        self.machine = machine
        self.wheels = wheels
        self.within = _closures(wheels)
        self.loader = Loader(nodes, machine, self.within)

    def run(self) -> tuple[Need, ...]:
        trees = {place: self._tree(node) for place, node in self.loader.nodes.items()}
        reached = {each for place, (loaded, _) in trees.items() for each in loaded - {place}}
        roots = [place for place in trees if place not in reached]
        seen = {place for root in roots for place in (root, *trees[root][0])}
        for place, (loaded, _) in sorted(trees.items()):
            if place not in seen:  # files that need each other in a circle
                roots.append(place)
                seen |= {place, *loaded}
        served = self._served(trees)
        needs = [
            need if self._is_essential(root, served) else replace(need, essential=False)
            for root in roots
            for need in trees[root][1]
        ]
        return tuple(sorted([*_worst(needs), *self._opened()], key=_order))

    def _served(self, trees: Mapping[str, _Tree]) -> frozenset[str | None]:
        """Return the wheels that have modules, or whose files modules of others load."""
        nodes = self.loader.nodes
        return frozenset(
            nodes[each].wheel
            for place, (loaded, _) in trees.items()
            if _MODULE(place)
            for each in loaded | {place}
        )

    def _is_essential(self, root: str, served: frozenset[str | None]) -> bool:
        return self.loader.nodes[root].wheel not in served or _MODULE(root) is not None

    def _tree(self, root: Node) -> _Tree:
        """Return the places of the wheels' files that come with one, and what all of them need."""
        needs = list(self._starter(root))
        names, outcomes = self.loader.load(root)
        for (node, soname), found in outcomes.items():
            if node.wheel is not None:
                who: Provider = found.provider if found else "nothing"
                by = found.node.path if found else None
                needs.append(Need(node.wheel, node.path, soname, None, who, by, essential=True))
        ours = {node for node, _ in outcomes if node.wheel is not None} | {root}
        ours |= {each.node for each in outcomes.values() if each and each.provider in _BROUGHT}
        for node in ours:
            needs += self._versions(node, names)
        return frozenset(node.path for node in ours), tuple(needs)

    def _starter(self, root: Node) -> Iterator[Need]:
        """Yield what starts a program."""
        path = root.elf.interpreter
        if self.machine.starts_programs:
            return
        if root.elf.is_program and path is not None and root.wheel is not None:
            by = path if self.machine.open(path) else None
            who: Provider = "machine" if by else "nothing"
            yield Need(root.wheel, root.path, path, None, who, by, essential=True)

    def _versions(self, node: Node, names: Mapping[str, Node]) -> Iterator[Need]:
        """Yield the versions that a file needs of libraries that are there."""
        for wanted in node.elf.wanted:
            found = names.get(wanted.library)
            # The loader does not ask a library that has no versions at all (ld.so: "no version
            # information available").
            if found is None or not found.elf.defined or wanted.weak or node.wheel is None:
                continue
            has = wanted.version in found.elf.defined
            yield Need(
                node.wheel,
                node.path,
                wanted.library,
                wanted.version,
                provider(node, found) if has else "nothing",
                found.path,
                essential=True,
                newest=None if has else _newest(wanted.version, found.elf.defined),
            )

    def _opened(self) -> Iterator[Need]:
        """Yield what the code of the wheels opens by name."""
        there = {wheel.name for wheel in self.wheels}
        for wheel in self.wheels:
            for opened in wheel.opens:
                if there.isdisjoint(opened.unless):
                    found = self._open(wheel.name, opened)
                    soname, who, by = found or (opened.sonames[0], "nothing", None)
                    yield Need(wheel.name, None, soname, None, who, by, opened.at_import)

    def _open(self, wheel: str, opened: Opened) -> tuple[str, Provider, str] | None:
        """Return the name that answers, by whom and where; None when there is none."""
        for soname in opened.sonames:
            for node in self.loader.like(soname):
                if node.wheel in self.within[wheel]:
                    return soname, "own" if node.wheel == wheel else "other", node.path
            found = self.loader.open(soname)
            if found is not None:
                return soname, "machine", found.path
        return None


def _worst(needs: Iterable[Need]) -> Iterable[Need]:
    """Return one for each need: the worst outcome, and of these the one that matters more."""
    found: dict[tuple[str | None, str, str | None], Need] = {}
    for need in needs:
        key = (need.file, need.soname, need.version)
        known = found.get(key)
        if known is None or _badness(need) > _badness(known):
            found[key] = need
    return found.values()


def _badness(need: Need) -> tuple[int, bool]:
    return _WORST.index(need.provider), need.essential


def _order(need: Need) -> tuple[str, str, str, str]:
    return need.wheel, need.file or "", need.soname, need.version or ""


def _newest(version: str, defined: Iterable[str]) -> str | None:
    """Return the greatest of the versions of a kind, such as `GLIBC_2.36` for `GLIBC_2.38`."""
    kind = version.rpartition("_")[0]
    numbered = re.compile(re.escape(kind) + r"_\d+(?:\.\d+)*$").match
    found = filter(numbered, defined)
    return max(found, key=lambda each: [*map(int, re.findall(r"\d+", each))], default=None)


def _closures(wheels: Sequence[Contents]) -> Mapping[str, frozenset[str]]:
    """Return the names of each wheel and of all it requires, directly or not."""
    requires = {wheel.name: wheel.requires for wheel in wheels}
    found = {}
    for name in requires:
        reached: set[str] = set()
        below = [name]
        while below:
            each = below.pop()
            if each not in reached:
                reached.add(each)
                below += requires.get(each, ())
        found[name] = frozenset(reached)
    return found
