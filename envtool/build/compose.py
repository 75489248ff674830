"""The builder `builtin:environment`: join packages and an interpreter into one environment.

A folder that one package owns is one symlink; a folder that several share is a real folder whose
entries are joined in turn, and so is a folder from which an ELF file climbs (`$ORIGIN/../…`) into
another package, since the kernel resolves `..` physically. Launchers, `pyvenv.cfg` and the start-up
hook hold this machine's paths: the output is local, cheap, and composed again elsewhere.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from envtool.build.launchers import launcher, rewritten
from envtool.build.layout import (
    CONFIGURATION,
    EXTRA,
    HOOK,
    INCLUDE,
    INDEX,
    LIB64,
    MANIFEST,
    SITE,
)
from envtool.errors import CollisionError
from envtool.values import value

_CLUTTER = frozenset({"test", "tests", "doc", "docs", "example", "examples", "benchmarks"})
"""Top-level folders that careless wheels ship; a collision in them harms nobody."""


@value
class Component:
    """One package to be joined in."""

    name: str
    base: str
    """Base name of its store object."""


@value
class Pointer:
    """A variable by which libraries find data, where the host has none."""

    variable: str
    path: str
    """Absolute, on this machine."""
    hosts: tuple[str, ...]
    """Where a host has its own."""


@value
class Specification:
    """All that the environment is made of."""

    store: str
    """Physical store directory."""
    base: str
    """Base name of the environment's own store object."""
    interpreter: str
    """Base name of the interpreter's store object."""
    executable: str
    version: str
    components: tuple[Component, ...]
    """Sorted by name; of two identical files the first one's is linked."""
    bytecode: str
    """Folder that `sys.pycache_prefix` points to."""
    collisions: str
    """`refuse` or `warn`."""
    pointers: tuple[Pointer, ...] = ()
    """What the interpreter's closure has that a host may lack."""

    @property
    def feature(self) -> str:
        """The feature release, `3.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def site(self) -> str:
        """The site-packages folder, relative to the environment."""
        return f"lib/python{self.feature}/{SITE}"


@value
class _Source:
    """A folder that some package contributes."""

    owner: Component
    path: str
    """Relative to the store: `<base>/site-packages/…`."""


_OURS = _Source(Component("envtool", ""), "")


@value
class Composed:
    """What the caller reports."""

    collisions: tuple[str, ...]
    """One sentence each; empty in most environments."""


def compose(specification: Specification, target: str) -> Composed:
    """Write the environment to the new folder `target`, which lies in the store directory.

    :raises CollisionError: two packages claim one file with different contents, and the
        declaration does not say that this is to be tolerated.
    """
    composer = _Composer(specification, target)
    composer.run()
    return Composed(tuple(composer.collisions))


class _Composer:
    def __init__(self, specification: Specification, target: str) -> None:
        self.spec = specification
        self.target = target
        self.collisions: list[str] = []
        self.fatal: list[str] = []
        self.folders: dict[str, str] = {}
        """Linked folders with Python code: place in the environment to place in the store."""
        self.real: set[str] = set()
        self.claims: dict[str, tuple[str, str]] = {}
        """File of bin/ to its owner and its text or link target."""
        self.headers: dict[str, list[_Source]] = {}
        """Folder of include/, named as the wheels' RECORD names it, to what it holds."""

    def run(self) -> None:
        indexes = [(each, self._index(each)) for each in self.spec.components]
        for _, index in indexes:
            for folder in index["real"]:
                self._make_real(f"{self.spec.site}/{folder}")
        self._make_real("bin")
        self._make_real(self.spec.site)
        self._find_headers(indexes)
        self._launchers(indexes)
        self._interpreter_links()
        self._join("", self._data(indexes), indexes)
        if self.fatal:
            raise CollisionError(
                "packages of this environment claim the same files:\n" + "\n".join(self.fatal),
                hint='remove one of them, or write collisions = "warn" to keep the first',
            )
        self._write_texts(indexes)

    def _index(self, component: Component) -> dict[str, Any]:
        with open(f"{self.spec.store}/{component.base}/{INDEX}", "rb") as file:
            index: dict[str, Any] = json.load(file)
            return index

    def _make_real(self, place: str) -> None:
        while place:
            self.real.add(place)
            place = os.path.dirname(place)

    def _data(self, indexes: Sequence[tuple[Component, Mapping[str, Any]]]) -> list[_Source]:
        return [
            _Source(component, f"{component.base}/data")
            for component, index in indexes
            if "data" in index["schemes"]
        ]

    def _find_headers(self, indexes: Sequence[tuple[Component, Mapping[str, Any]]]) -> None:
        for component, index in indexes:
            if "headers" in index["schemes"]:
                self._make_real(INCLUDE)
                info = next(name for name in index["folders"] if name.endswith(".dist-info"))
                source = _Source(component, f"{component.base}/headers")
                self.headers.setdefault(info.split("-")[0], []).append(source)

    # Folders

    def _join(
        self,
        place: str,
        sources: Sequence[_Source],
        indexes: Sequence[tuple[Component, Mapping[str, Any]]] = (),
    ) -> None:
        """Make the real folder `place` of what the sources hold."""
        os.mkdir(f"{self.target}/{place}" if place else self.target)
        folders: dict[str, list[_Source]] = {}
        files: dict[str, list[_Source]] = {}
        if place == self.spec.site:
            self._sites(indexes, folders, files)
        for source in sources:
            with os.scandir(f"{self.spec.store}/{source.path}") as entries:
                for entry in entries:
                    # Wheels have no links; those to folders are of `build.closed.programs`.
                    kind = folders if entry.is_dir() else files
                    kind.setdefault(entry.name, []).append(
                        _Source(source.owner, f"{source.path}/{entry.name}")
                    )
        for name in self._forced(place):
            folders.setdefault(name, [])
        if place == INCLUDE:
            for name, headers in self.headers.items():
                folders.setdefault(name, []).extend(headers)
        if place == "bin":
            self._claims(files)
        own = self._own()
        for name in sorted(folders.keys() | files.keys()):
            below = f"{place}/{name}" if place else name
            claims = [*folders.get(name, ()), *files.get(name, ())]
            if below in own:
                # Ours whatever `collisions` says: the environment would not work with theirs.
                self.collisions.append(self._collision(below, [_OURS, *claims]))
                continue
            if name in folders and name in files:
                self._collide(below, claims)
            if name in folders:
                self._folder(below, folders[name], indexes)
            else:
                self._file(below, files[name])

    def _own(self) -> frozenset[str]:
        """Return the places that the environment itself fills."""
        return frozenset({MANIFEST, CONFIGURATION, LIB64, EXTRA, f"{self.spec.site}/{HOOK}"})

    def _forced(self, place: str) -> list[str]:
        prefix = f"{place}/" if place else ""
        return [
            path[len(prefix) :]
            for path in self.real
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        ]

    def _sites(
        self,
        indexes: Sequence[tuple[Component, Mapping[str, Any]]],
        folders: dict[str, list[_Source]],
        files: dict[str, list[_Source]],
    ) -> None:
        """Add the tops of every site-packages, which the indexes name: no folder is read."""
        for component, index in indexes:
            for kind, names in ((folders, index["folders"]), (files, index["files"])):
                for name in names:
                    kind.setdefault(name, []).append(
                        _Source(component, f"{component.base}/{SITE}/{name}")
                    )

    def _folder(
        self,
        place: str,
        sources: Sequence[_Source],
        indexes: Sequence[tuple[Component, Mapping[str, Any]]],
    ) -> None:
        if len(sources) != 1 or place in self.real:
            self._join(place, sources, indexes)
            return
        self._link(place, sources[0].path)
        name = os.path.basename(place)
        if place.startswith(self.spec.site) and not name.endswith((".dist-info", ".libs")):
            self.folders[place] = sources[0].path

    def _file(self, place: str, sources: Sequence[_Source]) -> None:
        if len(sources) > 1 and not self._same(sources):
            self._collide(place, sources)
        self._link(place, sources[0].path)

    def _link(self, place: str, path: str) -> None:
        up = "../" * (place.count("/") + 1)
        os.symlink(f"{up}{path}", f"{self.target}/{place}")

    def _same(self, sources: Sequence[_Source]) -> bool:
        contents = {_contents(f"{self.spec.store}/{source.path}") for source in sources}
        return len(contents) == 1

    def _collide(self, place: str, sources: Sequence[_Source]) -> None:
        shown = place.removeprefix(f"{self.spec.site}/")
        harmless = place.startswith(self.spec.site) and shown.split("/")[0] in _CLUTTER
        fatal = self.spec.collisions == "refuse" and not harmless
        (self.fatal if fatal else self.collisions).append(self._collision(place, sources))

    def _collision(self, place: str, sources: Sequence[_Source]) -> str:
        owners = " and ".join(dict.fromkeys(source.owner.name for source in sources))
        return f"{place.removeprefix(f'{self.spec.site}/')} belongs to {owners}"

    # bin/

    def _launchers(self, indexes: Sequence[tuple[Component, Mapping[str, Any]]]) -> None:
        for component, index in indexes:
            for name, module, attribute in (*index["console"], *index["gui"]):
                self._claim(name, component, launcher(self._python(), module, attribute))
            for name in index["scripts"]:
                path = f"{component.base}/scripts/{name}"
                text = rewritten(f"{self.spec.store}/{path}", self._python())
                self._claim(name, component, text or f"../../{path}")

    def _python(self) -> str:
        return f"{self.spec.store}/{self.spec.base}/bin/python"

    def _claim(self, name: str, component: Component, content: str) -> None:
        owner, former = self.claims.setdefault(name, (component.name, content))
        if former != content:
            first = Component(owner, "")
            self._collide(f"bin/{name}", [_Source(first, ""), _Source(component, "")])

    def _interpreter_links(self) -> None:
        name = os.path.basename(self.spec.executable)
        link = f"../../{self.spec.interpreter}/bin/{name}"
        for alias in ("python", "python3", f"python{self.spec.feature}"):
            self.claims[alias] = (self.spec.interpreter, link)

    def _claims(self, files: dict[str, list[_Source]]) -> None:
        """Write bin/; a wheel's data scheme may hold further files for it."""
        for name, (owner, content) in sorted(self.claims.items()):
            if name in files:
                self._collide(f"bin/{name}", [_Source(Component(owner, ""), ""), *files.pop(name)])
            path = f"{self.target}/bin/{name}"
            if content.startswith("../../"):
                os.symlink(content, path)
            else:
                _write(path, content, 0o555)

    # Texts

    def _write_texts(self, indexes: Sequence[tuple[Component, Mapping[str, Any]]]) -> None:
        spec = self.spec
        home = os.path.dirname(spec.executable)
        _write(
            f"{self.target}/{CONFIGURATION}",
            f"home = {home}\ninclude-system-site-packages = false\nversion = {spec.version}\n",
        )
        # PYTHONPYCACHEPREFIX would reach the host's own Pythons too, and is not there when a
        # program of the environment is started by its path; the store must never receive a
        # __pycache__, which a root user's Python would write even into a read-only folder.
        prefix = f"import sys; sys.pycache_prefix = sys.pycache_prefix or {spec.bytecode!r}\n"
        _write(f"{self.target}/{spec.site}/{HOOK}", prefix + _pointing(spec.pointers))
        os.symlink("lib", f"{self.target}/{LIB64}")
        os.mkdir(f"{self.target}/{EXTRA}")
        manifest = {
            "format": 1,
            "interpreter": spec.interpreter,
            "python": spec.version,
            "packages": [
                {"name": index["name"], "version": index["version"], "object": component.base}
                for component, index in indexes
            ],
            "folders": self.folders,
            "collisions": self.collisions,
        }
        _write(f"{self.target}/{MANIFEST}", json.dumps(manifest, sort_keys=True) + "\n")


def _pointing(pointers: Sequence[Pointer]) -> str:
    """Return a line of a .pth file that sets variables; none when there is nothing to be set."""
    if not pointers:
        return ""
    found = tuple((each.variable, each.path, each.hosts) for each in pointers)
    return (
        "import os; [os.environ.setdefault(name, path) "
        f"for name, path, hosts in {found!r} if not any(map(os.path.exists, hosts))]\n"
    )


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, text: str, mode: int = 0o444) -> None:
    # Never through a link into the store: "x" neither follows nor replaces.
    with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
