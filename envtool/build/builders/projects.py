"""Source projects, which code of theirs builds, in a sandbox."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from envtool.build.builders.context import Builder, Context, closure, placed, scratch
from envtool.errors import SandboxError
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.plan.derivations import BUILD, SYSTEM_ROOT
from envtool.reporting import Step

if TYPE_CHECKING:
    from envtool.build.project import Build

__all__ = ["BUILDERS"]

_FOREIGN = ("archive", "commit")
"""Variables of a build whose code comes from elsewhere than the user's own disk."""


def _project(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build import project
    from envtool.build.unpack import unpack

    environment = derivation.environment
    system = environment.get(SYSTEM_ROOT)
    logs = context.store.settings.logs
    os.makedirs(logs, exist_ok=True)
    with scratch(context.store, f"{derivation.name}-build") as work:
        os.mkdir(work, 0o700)
        build = project.Build(
            package=environment["package"],
            tools=context.physical(environment["environment"]),
            work=work,
            log=f"{logs}/{path}.log",
            editable="project" in environment,
            bwrap=_bwrap(context, environment),
            inputs=_visible(context, derivation),
            system=context.physical(system) if system else None,
        )
        wheel = project.build_wheel(build, _source(context, build, environment))
        with scratch(context.store, derivation.name) as target:
            older = context.older.get(derivation.output_path().name)
            unpack(wheel, os.path.basename(wheel), target, older=older)
            candidates = closure(context, derivation)
            return placed(context, path, derivation, target, candidates)


def _bwrap(context: Context, environment: Mapping[str, str]) -> str | None:
    """Return the program that makes the sandbox of a build; None when it goes without."""
    from envtool.machine.isolating import sandbox

    settings = context.store.settings
    if settings.sandbox == "off":
        return None
    try:
        return sandbox.require(settings.path)
    except SandboxError as error:
        if settings.sandbox == "auto" and environment.keys().isdisjoint(_FOREIGN):
            context.reporter.note(f"{environment['package']} is built without a sandbox: {error}")
            return None
        raise SandboxError(
            f"{environment['package']} must be built, and {error}",
            hint=f"{error.hint}; or, if you trust its authors: export ENVTOOL_SANDBOX=off",
        ) from error


def _visible(context: Context, derivation: Derivation) -> tuple[str, ...]:
    store = context.store
    inputs = closure(context, derivation) - {derivation.output_path()}
    # Archives are unpacked already; a system root alone is made of hundreds.
    folders = filter(os.path.isdir, map(store.physical, sorted(inputs)))
    return (*folders, f"{store.settings.cache}/bytecode")


def _source(context: Context, build: "Build", environment: Mapping[str, str]) -> str:
    """Return the folder to build: the user's own for an editable, else a private copy."""
    from envtool.build import project

    if build.editable:
        return environment["project"]
    source = context.physical(environment["src"])
    if "archive" in environment:
        return project.extracted(source, build.work, build.package)
    copy = project.copied(source, build.work)
    return f"{copy}/{environment['subdirectory']}" if "subdirectory" in environment else copy


BUILDERS: Mapping[str, Builder] = {
    BUILD: _project,
}
