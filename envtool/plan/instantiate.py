"""From a lock to derivations: pure, so that the same lock gives the same store paths everywhere.

One fixed-output fetch per artifact, one unpack per wheel, one interpreter, one environment that
joins them; a source package adds the environment of its build back end and the build itself.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from envtool.errors import LockError
from envtool.formats.nix.derivation import Derivation, Output
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.plan.derivations import (
    BUILD,
    ENVIRONMENT,
    FETCH,
    INTERPRETER,
    LOCAL,
    SYSTEM_ROOT,
    UNPACK,
    Instantiation,
    derivation,
    store_name,
)
from envtool.sources.interpreter import Interpreter
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.lock import Artifact, LockedPackage


@value
class Selected:
    """A locked package and the artifact chosen for this interpreter."""

    package: "LockedPackage"
    artifact: "Artifact | None"
    """None for a directory or a VCS commit."""
    source: StorePath | None = None
    """The store object with the source tree, for what must be built and is not editable."""
    project: str | None = None
    """Absolute path of an editable project; its source stays where it is."""
    fingerprint: str | None = None
    """Of an editable project's metadata files, so that their change builds it again."""
    build_requirements: tuple["Selected", ...] = ()
    inheriting: bool = False
    """Its libraries look where the interpreter's program does, too."""

    @property
    def is_fixed(self) -> bool:
        """Say whether the lock alone decides what it is."""
        return self.artifact is not None and self.artifact.path is None


def add_interpreter(made: Instantiation, interpreter: Interpreter) -> StorePath:
    """Add the interpreter and return its `.drv` path."""
    return made.add(_interpreter(interpreter))


def add_packages(
    made: Instantiation,
    selection: Sequence[Selected],
    python: StorePath,
    interpreter: Interpreter,
    *,
    system: StorePath | None = None,
) -> None:
    """Add what the selected packages are made of.

    `system` is the `.drv` path of a system root with a compiler, in which source packages are
    built; None: with the host's tools.

    :raises LockError: a package with neither artifact nor source.
    """
    for selected in selection:
        package = _package(made, selected, python, interpreter, system)
        made.packages[selected.package.name] = package


def add_environment(
    made: Instantiation,
    name: str,
    python: StorePath,
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
    system: StorePath | None = None,
) -> StorePath:
    """Add the environment `name` that joins the packages and return its `.drv` path.

    `collisions` is what happens when two packages claim one file: `refuse` or `warn`. `system` is
    the `.drv` path of its system root.
    """
    made.environment = _environment(
        made,
        f"{name}-env",
        made.packages | made.joined,
        python,
        interpreter,
        collisions=collisions,
        system=system,
    )
    return made.environment


def instantiate(
    name: str,
    selection: Sequence[Selected],
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
) -> Instantiation:
    """Return all derivations of the environment `name` that joins the selected packages."""
    made = Instantiation()
    python = add_interpreter(made, interpreter)
    add_packages(made, selection, python, interpreter)
    add_environment(made, name, python, interpreter, collisions=collisions)
    return made


def _interpreter(interpreter: Interpreter) -> Derivation:
    variables = {
        LOCAL: "1",
        "executable": interpreter.executable,
        "sha256": interpreter.sha256,
        "version": interpreter.version,
        "abi": interpreter.soabi,
    }
    name = store_name(f"{interpreter.implementation}-{interpreter.version}-host")
    return derivation(name, INTERPRETER, variables, system=f"{interpreter.machine}-linux")


def _package(
    made: Instantiation,
    selected: Selected,
    python: StorePath,
    interpreter: Interpreter,
    system: StorePath | None,
) -> StorePath:
    artifact = selected.artifact
    if artifact is not None and artifact.filename.endswith(".whl"):
        return _unpack(made, selected.package, artifact, inheriting=selected.inheriting)
    return _build(made, selected, python, interpreter, system)


def _fetch(made: Instantiation, artifact: "Artifact") -> StorePath:
    name = store_name(artifact.filename)
    variables = {
        "url": artifact.url or _file_url(artifact.path or ""),
        "outputHash": artifact.sha256,
        "outputHashAlgo": "sha256",
        "outputHashMode": "flat",
    }
    if artifact.size is not None:
        variables["size"] = str(artifact.size)
    output = Output(None, fixed=Hash("sha256", bytes.fromhex(artifact.sha256)))
    return made.add(derivation(name, FETCH, variables, output=output))


def _file_url(path: str) -> str:
    from urllib.parse import quote

    return f"file:{quote(path)}"


def _unpack(
    made: Instantiation, package: "LockedPackage", artifact: "Artifact", *, inheriting: bool
) -> StorePath:
    fetch = _fetch(made, artifact)
    variables = {"src": made.output(fetch).full(), "wheel": artifact.filename}
    if inheriting:
        variables["search"] = "inherited"
    name = store_name(f"{package.name}-{package.version or '0'}")
    return made.add(derivation(name, UNPACK, variables, [fetch]))


def _build(
    made: Instantiation,
    selected: Selected,
    python: StorePath,
    interpreter: Interpreter,
    system: StorePath | None,
) -> StorePath:
    """Add the environment of the build back end and the build in it."""
    package = selected.package
    tools = {
        each.package.name: _package(made, each, python, interpreter, system)
        for each in selected.build_requirements
    }
    environment = _environment(made, f"{package.name}-build-env", tools, python, interpreter)
    variables = {"environment": made.output(environment).full(), "package": package.name}
    inputs, sources = [environment], frozenset[StorePath]()
    if system is not None:
        variables[SYSTEM_ROOT] = made.output(system).full()
        inputs.append(system)
    if selected.project is not None:
        variables |= {
            LOCAL: "1",
            "project": selected.project,
            "fingerprint": selected.fingerprint or "",
        }
    elif selected.source is not None:
        variables["src"] = selected.source.full()
        sources = frozenset({selected.source})
    elif selected.artifact is not None:
        fetch = _fetch(made, selected.artifact)
        variables |= {"src": made.output(fetch).full(), "archive": selected.artifact.filename}
        inputs.append(fetch)
    else:
        raise LockError(f"the lock gives no source for {package.name}", hint="envtool lock")
    if package.vcs is not None:
        variables["commit"] = package.vcs.commit_id
        if package.vcs.subdirectory:
            variables["subdirectory"] = package.vcs.subdirectory
    name = store_name(f"{package.name}-{package.version or '0'}")
    machine = f"{interpreter.machine}-linux"
    return made.add(derivation(name, BUILD, variables, inputs, sources=sources, system=machine))


def _environment(
    made: Instantiation,
    name: str,
    packages: Mapping[str, StorePath],
    python: StorePath,
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
    system: StorePath | None = None,
) -> StorePath:
    joined = {each: made.output(path).full() for each, path in sorted(packages.items())}
    variables = {
        LOCAL: "1",
        "interpreter": made.output(python).full(),
        "packages": json.dumps(joined, separators=(",", ":")),
        "collisions": collisions,
    }
    inputs = [python, *packages.values()]
    if system is not None:
        variables[SYSTEM_ROOT] = made.output(system).full()
        inputs.append(system)
    return made.add(
        derivation(
            store_name(name),
            ENVIRONMENT,
            variables,
            inputs,
            system=f"{interpreter.machine}-linux",
        )
    )
