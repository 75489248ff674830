"""Loading as ld.so(8) does it, on paper: which file answers each name that a file needs.

Libraries are loaded breadth first. For each name that a file needs,
whatever was loaded under it already will do; else there are looked through, in this order:

* DT_RPATH of the file, of the one that needed it, and so on up to the program, unless the file
  itself has DT_RUNPATH;
* LD_LIBRARY_PATH; DT_RUNPATH of the file; the host's cache and default directories.

Files of the wheels stand at their places in the environment, so that `$ORIGIN/../../other.libs`
leads from one wheel into another. What Python itself has loaded is there before any of them.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from envtool.machine.libraries import Libraries
from envtool.sources.elf import Elf
from envtool.values import value

__all__ = ["Found", "Loaded", "Loader", "Node", "Provider", "provider"]

Provider = Literal["own", "other", "machine", "loaded", "nothing"]
"""Of a library: the wheel itself; another wheel, by a search path that climbs into it; the closure
or the host; a wheel it requires, if that is imported first; nobody."""
_ORIGINS = ("$ORIGIN", "${ORIGIN}")


class Node:
    """A file that can be loaded; compared by identity, since there is one for each."""

    __slots__ = ("elf", "path", "wheel")

    def __init__(self, path: str, elf: Elf, wheel: str | None) -> None:
        self.path = path
        """Absolute on this machine, or the place of a wheel's file."""
        self.elf = elf
        self.wheel = wheel

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the names that it needs."""
        return self.elf.dynamic.needed if self.elf.dynamic else ()

    def folders(self, entries: Iterable[str]) -> tuple[str, ...]:
        """Return the folders of a search path; those that name what only the loader knows go."""
        return tuple(filter(None, (self._folder(entry) for entry in entries)))

    def _folder(self, entry: str) -> str | None:
        for origin in _ORIGINS:
            if entry.startswith(origin):
                own = posixpath.dirname(self.path)
                return posixpath.normpath(f"{own}/{entry[len(origin) :]}")
        return posixpath.normpath(entry) if entry.startswith("/") else None


@value
class Loaded:
    """A file that is loaded, and the DT_RPATH folders that count for what it needs."""

    node: Node
    rpath: tuple[str, ...]


@value
class Found:
    """Who answers a name."""

    node: Node
    provider: Provider


class Loader:
    """Loads wheels' files into the program of `machine`.

    `nodes` are the wheels' files by place; `within` says of each wheel which it requires, itself
    included.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        machine: Libraries,
        within: Mapping[str, frozenset[str]],
    ) -> None:
        self.nodes = nodes
        self.machine = machine
        self.within = within
        self.named = _by_name(nodes.values())
        self.foreign: dict[str, Node] = {}
        self.program: Loaded | None = None
        self.base: dict[str, Node] = {}
        """What Python itself has loaded, by the names it can be asked for."""
        elf = machine.open(machine.program)
        if elf is not None:
            node = Node(machine.program, elf, None)
            self.program = Loaded(node, _rpath(node) + machine.beside)
            self.base = self._load(self.program, {})[0]

    def load(self, root: Node) -> tuple[dict[str, Node], dict[tuple[Node, str], Found | None]]:
        """Load a file, which a program does into nothing, and all it leads to.

        Return what is loaded by name, and who answered each need of each file.
        """
        above = self.program.rpath if self.program else ()
        if root.elf.is_program:
            rpath = above if self.machine.starts_programs else ()
            return self._load(Loaded(root, _rpath(root) + rpath), {})
        return self._load(Loaded(root, _rpath(root) + above), self.base)

    def open(self, soname: str) -> Node | None:
        """Return what the program gets when its code opens a library by name."""
        known = self.base.get(soname)
        if known is not None or self.program is None:
            return known
        found = self._find(self.program, soname)
        return found.node if found else None

    def like(self, soname: str) -> Iterator[Node]:
        """Yield the wheels' files that are this library: `libsndfile_x86_64.so` is libsndfile."""
        stem = soname.partition(".so")[0]
        for name, nodes in self.named.items():
            if name.startswith((f"{stem}.", f"{stem}_", f"{stem}-")):
                yield from nodes

    def _load(
        self, root: Loaded, base: Mapping[str, Node]
    ) -> tuple[dict[str, Node], dict[tuple[Node, str], Found | None]]:
        names = {**base, **dict.fromkeys(_names(root.node), root.node)}
        outcomes: dict[tuple[Node, str], Found | None] = {}
        queue = [root]
        for each in queue:
            for soname in each.node.needed:
                known = names.get(soname)
                if known is not None:
                    found: Found | None = Found(known, provider(each.node, known))
                else:
                    found = self._find(each, soname) or self._elsewhere(each.node, soname)
                outcomes[each.node, soname] = found
                if found is not None and known is None:
                    names.setdefault(soname, found.node)
                    names |= {name: found.node for name in _names(found.node) if name not in names}
                    if found.provider != "loaded":
                        queue.append(Loaded(found.node, _rpath(found.node) + each.rpath))
        return names, outcomes

    def _find(self, by: Loaded, soname: str) -> Found | None:
        dynamic, target = by.node.elf.dynamic, by.node.elf.target
        runpath = dynamic.runpath if dynamic else None
        if "/" in soname:
            return self._at(by.node, posixpath.dirname(soname), posixpath.basename(soname))
        for folder in by.rpath if runpath is None else ():
            if found := self._at(by.node, folder, soname):
                return found
        if path := self.machine.find_first(soname, target):
            return self._of_machine(path)
        for folder in by.node.folders(runpath or ()):
            if found := self._at(by.node, folder, soname):
                return found
        path = self.machine.find_last(soname, target)
        return self._of_machine(path) if path else None

    def _at(self, by: Node, folder: str, soname: str) -> Found | None:
        path = f"{folder}/{soname}"
        if not folder.startswith("/"):
            node = self.nodes.get(path)
            return Found(node, provider(by, node)) if node else None
        elf = self.machine.open(path)
        return self._of_machine(path) if elf and elf.target == by.elf.target else None

    def _of_machine(self, path: str) -> Found | None:
        node = self.foreign.get(path)
        if node is None:
            elf = self.machine.open(path)
            if elf is None:
                return None
            node = self.foreign[path] = Node(path, elf, None)
        return Found(node, "machine")

    def _elsewhere(self, by: Node, soname: str) -> Found | None:
        """Return a library that is there once a package that this one requires is imported."""
        if by.wheel is None:
            return None
        for node in self.named.get(soname, ()):
            if node.wheel in self.within[by.wheel]:
                return Found(node, "loaded")
        return None


def _rpath(node: Node) -> tuple[str, ...]:
    dynamic = node.elf.dynamic
    if dynamic is None or dynamic.runpath is not None:
        return ()
    return node.folders(dynamic.rpath)


def provider(by: Node, found: Node) -> Provider:
    """Return who it is that provides a file to another."""
    if found.wheel is None:
        return "machine"
    return "own" if found.wheel == by.wheel else "other"


def _names(node: Node) -> tuple[str, ...]:
    soname = node.elf.dynamic.soname if node.elf.dynamic else None
    return (soname,) if soname else ()


def _by_name(nodes: Iterable[Node]) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for name in {posixpath.basename(node.path), *_names(node)}:
            found.setdefault(name, []).append(node)
    return found
