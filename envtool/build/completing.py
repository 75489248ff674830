"""Complete the lock of an environment whose interpreter is Debian's: no library may be missing.

The wheels are fetched and unpacked, which realising the environment would do anyway, and read as
the dynamic loader would (`plan.loading`). For each library that neither they nor the interpreter
have, the package of Debian that has it joins the lock; what that needs in turn is found by reading
it, too. Of Debian's own dependencies only those that are libraries come along: `libgl1` depends on
43 packages, drivers and a compiler among them, of which its library needs seven.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache

from envtool.build.closed.libraries import candidates
from envtool.build.closed.shutting import loader
from envtool.build.realise import realise_all
from envtool.build.supplying import Supply
from envtool.errors import ResolutionError
from envtool.formats.debian.package import DebianPackage
from envtool.formats.locked import BuildRequirements, Lock, Pins
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.libraries import Libraries
from envtool.machine.store import Store
from envtool.plan.answer import Answer
from envtool.plan.chosen import Chosen
from envtool.plan.closed.python import ClosedPython, add_deb, multiarch_of
from envtool.plan.derivations import Instantiation
from envtool.plan.gather import Gatherer
from envtool.plan.instantiate import Selected, add_packages
from envtool.plan.libraries.completeness import Contents, Need, is_driver, judge, lacks
from envtool.plan.libraries.reading import Unpacked, read_wheels, with_rpath
from envtool.reporting import Reporter
from envtool.sources.binaries import read_file
from envtool.values import replace

__all__ = ["complete"]

_SHOWN = 5
_PURE_TOOLS = frozenset({"flit-core", "hatchling", "pdm-backend", "poetry-core", "uv-build"})
_COMPILING_TOOLS = frozenset({"cffi", "cython", "nanobind", "numpy", "pybind11", "setuptools"})


def complete(asked: Answer, store: Store, reporter: Reporter) -> Answer:
    """Return the answer with all libraries in its lock that its wheels need.

    Packages that are built here are not looked into, since nothing of them is there yet. Versions
    of Debian's packages that the former lock has are kept.

    :raises ResolutionError: nobody has a library, or a version of its symbols, that an import
        needs; with the wheel, the file and the name of each.
    :raises FetchError: something cannot be had.
    """
    with ExitStack() as stack:
        fetcher = stack.enter_context(Fetcher(offline=store.settings.offline))
        stack.enter_context(store.using(reporter.note))
        return _Completion(asked, store, reporter, fetcher, stack).run()


class _Completion:
    def __init__(
        self, asked: Answer, store: Store, reporter: Reporter, fetcher: Fetcher, stack: ExitStack
    ) -> None:
        self.asked = asked
        self.store = store
        self.reporter = reporter
        self.fetcher = fetcher
        self.stack = stack
        self.pins = asked.python.pins
        self.suite = ClosedPython(self.pins).suite
        self.multiarch = multiarch_of(self.pins.packages)

    def run(self) -> Answer:
        lock = self.asked.lock()
        names = {package.name for package in lock.packages}
        # What was opened up once stays so: an unpacked wheel does not tell how it was before.
        inheriting = set(self.pins.inheriting) & names
        contents = self._read(lock, inheriting)
        self.supply = supply = Supply(
            self.store,
            self.reporter,
            self.fetcher,
            self.stack,
            self.pins,
            own=self.own,
            brought=set(_names(contents)),
        )
        while True:
            lacking = self._judged(contents, inheriting)
            missing = [one for one in lacking if one.version is None and not is_driver(one.soname)]
            here = self.own | supply.found.keys()
            shut = {one.wheel for one in missing if one.file and one.soname in here} - inheriting
            wanted = [one for one in missing if one.soname not in here | supply.nobody]
            if not shut and not wanted:
                break
            inheriting |= shut
            supply.find_all(wanted)
        self._settle(lacking)
        self._check_versions()
        supply.find_data()
        pins = replace(
            self.pins,
            libraries=supply.locked(),
            inheriting=tuple(sorted(inheriting)),
            programs=tuple(sorted(each.name for each in contents if _has_programs(each))),
            headers=self._headers(lock),
        )
        return self.asked.completed(self.store.settings, pins)

    # The wheels and the interpreter

    def _read(self, lock: Lock, inheriting: set[str]) -> tuple[Contents, ...]:
        """Unpack what the interpreter is made of and the wheels, and read these.

        An archive of python-build-standalone is not needed for that: it brings no library that a
        wheel could load.
        """
        asked = self.asked
        made = Instantiation()
        bare = Pins(self.pins.packages, self.pins.archive)
        python = Chosen(asked.interpreter, bare).add(made)
        debs = [add_deb(made, each) for each in self.pins.packages]
        selection = self._wheels(_with_inheriting(lock, inheriting))
        add_packages(made, selection, python, asked.interpreter)
        names = [each.package.name for each in selection]
        wanted = [*debs, *(made.packages[name] for name in names)]
        realise_all(
            self.store,
            self.fetcher,
            self.reporter,
            made.derivations,
            wanted,
            jobs=self.store.settings.jobs,
        )
        trees = [self.store.physical(made.output(path)) for path in debs]
        self.folders = [each for tree in trees for each in candidates(tree, self.multiarch)]
        self.own = frozenset(name for folder in self.folders for name in os.listdir(folder))
        self.loader = _loader(self.folders)
        self.program = _program(trees, self.folders, asked.interpreter.feature)
        wheels = [
            Unpacked(
                each.package.name,
                self.store.physical(made.output(made.packages[each.package.name])),
                tuple(name for name in each.package.dependencies if name in names),
            )
            for each in selection
        ]
        return read_wheels(wheels, asked.declaration.libraries, loader=self.loader)

    def _wheels(self, lock: Lock) -> list[Selected]:
        """Return what the lock selects here, but for what is to be built."""
        gatherer = Gatherer(
            store=self.store,
            folder=os.path.dirname(self.asked.declaration.path),
            interpreter=self.asked.interpreter,
            offline=self.store.settings.offline,
        )
        return [
            each
            for each in gatherer.gather(lock)
            if each.artifact is not None and each.artifact.filename.endswith(".whl")
        ]

    def _judged(self, contents: Sequence[Contents], inheriting: set[str]) -> tuple[Need, ...]:
        folders = tuple(dict.fromkeys([*self.folders, *self.supply.folders()]))
        machine = Libraries(self.program, beside=folders, starts_programs=True)
        opened = [_inheriting(each) if each.name in inheriting else each for each in contents]
        return lacks(judge(opened, machine))

    def _headers(self, lock: Lock) -> tuple[DebianPackage, ...]:
        """Return what has the interpreter's C headers, if something is built that may want them."""
        if self.pins.archive is not None or not any(map(_may_compile, lock.builds)):
            return ()
        return (self.supply.pin(f"libpython{ClosedPython(self.pins).feature}-dev"),)

    # What is left

    def _check_versions(self) -> None:
        """Raise if a library that was found now is too new for the interpreter as it was locked."""
        paths = {name: f"{folder}/{name}" for folder in self.folders for name in os.listdir(folder)}
        paths |= {name: found.path for name, found in self.supply.found.items()}
        read = cache(lambda soname: read_file(paths.get(soname, "")))
        lines: dict[str, None] = {}
        for soname, found in self.supply.found.items():
            library = read(soname)
            for wanted in library.wanted if library else ():
                other = read(wanted.library)
                has = not (other and other.defined) or wanted.version in other.defined
                if not has and not wanted.weak:
                    lines[f"  {found.package}: {wanted.version} of {wanted.library}"] = None
        if lines:
            raise ResolutionError(
                "libraries of Debian are newer than the interpreter that the lock has:\n"
                + "\n".join(lines),
                hint="envtool lock --upgrade",
            )

    def _settle(self, lacking: Sequence[Need]) -> None:
        """Note what plugins lack; raise if something is missing without which an import fails."""
        left = [one for one in lacking if not is_driver(one.soname)]
        fatal = [one for one in left if one.essential]
        if fatal:
            lines = dict.fromkeys(f"  {_shown(one)}" for one in fatal)
            raise ResolutionError(
                f"packages need libraries that Debian's {self.suite} does not have:\n"
                + "\n".join(lines),
                hint="take another version of the package, or name another suite, "
                'such as interpreter = "debian/testing"',
            )
        plugins: dict[str, set[str]] = {}
        for one in left:
            plugins.setdefault(one.wheel, set()).add(one.soname)
        for wheel, sonames in plugins.items():
            shown = ", ".join(sorted(sonames)[:_SHOWN])
            more = f" and {len(sonames) - _SHOWN} more" if len(sonames) > _SHOWN else ""
            self.reporter.note(
                f"plugins of {wheel} lack {shown}{more}: Debian has none that fits them"
            )


def _with_inheriting(lock: Lock, names: set[str]) -> Lock:
    pins = replace(lock.python.pins, inheriting=tuple(sorted(names)))
    return replace(lock, python=replace(lock.python, pins=pins))


def _shown(need: Need) -> str:
    who = f"{need.wheel}: {need.file}" if need.file else f"{need.wheel}, by name"
    if need.version is None:
        return f"{who}: {need.soname}"
    newest = f", which has {need.newest}" if need.newest else ""
    return f"{who}: {need.version} of {need.soname}{newest}"


def _program(trees: Sequence[str], folders: Sequence[str], feature: str) -> str:
    """Return the interpreter's program, or what stands for that in an archive that is not here."""
    programs = [f"{tree}/usr/bin/python{feature}" for tree in trees]
    programs += [f"{folder}/libm.so.6" for folder in folders]
    return next(path for path in programs if os.path.isfile(path))


def _loader(folders: Sequence[str]) -> str:
    """Return the loader, which lies beside the C library.

    :raises BuildError: there is none.
    """
    beside = (folder for folder in folders if os.path.lexists(f"{folder}/libc.so.6"))
    return loader(next(beside, folders[0]))


def _may_compile(build: BuildRequirements) -> bool:
    """Say whether a build may run a C compiler, as far as the names of its tools tell."""
    names = {each.name for each in build.packages}
    return names.isdisjoint(_PURE_TOOLS) or not names.isdisjoint(_COMPILING_TOOLS)


def _has_programs(contents: Contents) -> bool:
    return any(each.elf.is_program for each in contents.binaries)


def _names(contents: Iterable[Contents]) -> Iterator[str]:
    """Yield the names that the wheels' libraries go by."""
    for wheel in contents:
        for binary in wheel.binaries:
            yield os.path.basename(binary.place)
            if binary.elf.dynamic and binary.elf.dynamic.soname:
                yield binary.elf.dynamic.soname


def _inheriting(contents: Contents) -> Contents:
    """Return the wheel with its libraries looking where those that load them do, too."""
    return replace(contents, binaries=tuple(map(with_rpath, contents.binaries)))
