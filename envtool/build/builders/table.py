"""Which builder serves a derivation, and building with it."""

from collections.abc import Mapping

from envtool.build.builders.context import Builder, Context, declared_size
from envtool.errors import BuildError
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.plan.derivations import (
    BUILD,
    DEBIAN_INTERPRETER,
    DEBIAN_ROOT,
    ENVIRONMENT,
    FETCH,
    LIBRARIES,
    LOCAL_PROGRAMS,
    UNPACK,
    UNPACK_DEB,
    UNPACK_STANDALONE,
)
from envtool.reporting import Kind, Step

__all__ = ["build", "kind"]

_KINDS: Mapping[str, Kind] = {
    FETCH: "fetch",
    UNPACK: "unpack",
    UNPACK_DEB: "unpack",
    UNPACK_STANDALONE: "unpack",
    DEBIAN_INTERPRETER: "build",
    DEBIAN_ROOT: "build",
    LIBRARIES: "build",
    BUILD: "build",
    LOCAL_PROGRAMS: "compose",
    ENVIRONMENT: "compose",
}
"""What a user may want to watch; the rest is done in no time."""


def kind(derivation: Derivation) -> Kind | None:
    """Return what sort of work realising the derivation is; None when there is nothing to watch."""
    return _KINDS.get(derivation.builder)


def build(context: Context, path: StorePath) -> PathInfo:
    """Realise the derivation at `path`, whose inputs are in place, and place its output.

    :raises BuildError: the builder is unknown, or the output names the physical store although its
        derivation is not local.
    :raises StoreError: the disk refuses.
    """
    derivation = context.derivations[path]
    builder = _builder(derivation.builder)
    if builder is None:
        raise BuildError(f"{derivation.name}: unknown builder {derivation.builder!r}")
    work = kind(derivation)
    step = Step(work or "compose", _label(derivation), declared_size(derivation))
    if work:
        context.reporter.start(step)
    with disk_errors(f"realise {derivation.name}"):
        info = builder(context, path, derivation, step)
    if work:
        context.reporter.finish(step)
    return info


def _builder(name: str) -> Builder | None:
    """Return the builder of this name; only its own room is loaded."""
    if name == ENVIRONMENT:
        from envtool.build.builders.environments import BUILDERS
    elif name == BUILD:
        from envtool.build.builders.projects import BUILDERS
    elif name in (FETCH, UNPACK, UNPACK_DEB, UNPACK_STANDALONE):
        from envtool.build.builders.arriving import BUILDERS
    else:
        from envtool.build.builders.interpreters import BUILDERS
    return BUILDERS.get(name)


def _label(derivation: Derivation) -> str:
    return derivation.environment.get("wheel", derivation.name)
