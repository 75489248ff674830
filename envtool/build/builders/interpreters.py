"""Interpreters, and the roots and libraries that they stand on."""

import json
import os
from collections.abc import Mapping

from envtool.build.builders.context import ABOUT, Builder, Context, closure, placed, scratch
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.plan.derivations import (
    DEBIAN_INTERPRETER,
    DEBIAN_ROOT,
    INTERPRETER,
    LIBRARIES,
    LOCAL_INTERPRETER,
    LOCAL_PROGRAMS,
)
from envtool.reporting import Step

__all__ = ["BUILDERS"]


def _debian_root(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.system.making import make
    from envtool.machine.isolating import sandbox

    environment = derivation.environment
    settings = context.store.settings
    os.makedirs(settings.logs, exist_ok=True)
    debs = [(context.physical(full), name) for full, name in json.loads(environment["debs"])]
    with scratch(context.store, derivation.name) as target:
        for note in make(
            debs,
            target,
            bwrap=sandbox.require(settings.path),
            log=f"{settings.logs}/{path}.log",
            allowed=frozenset(json.loads(environment["allowed"])),
            jobs=settings.jobs,
        ):
            context.reporter.note(note)
        return placed(context, path, derivation, target, {derivation.output_path()})


def _debian_interpreter(
    context: Context, path: StorePath, derivation: Derivation, _: Step
) -> PathInfo:
    from envtool.build.closed.making import make

    environment = derivation.environment
    trees = [context.physical(full) for full in json.loads(environment["packages"])]
    with scratch(context.store, derivation.name) as target:
        make(trees, target, environment["feature"])
        return placed(context, path, derivation, target, {derivation.output_path()})


def _libraries(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.closed.libraries import join_libraries

    environment = derivation.environment
    trees = [context.physical(full) for full in json.loads(environment["packages"])]
    with scratch(context.store, derivation.name) as target:
        join_libraries(trees, target, environment["multiarch"])
        return placed(context, path, derivation, target, {derivation.output_path()})


def _local_interpreter(
    context: Context, path: StorePath, derivation: Derivation, _: Step
) -> PathInfo:
    from envtool.build.closed.localising import find_patchelf, localise

    environment = derivation.environment
    output = derivation.output_path()
    libraries = environment.get("libraries")
    headers = json.loads(environment.get("headers", "[]"))
    with scratch(context.store, derivation.name) as target:
        localise(
            context.physical(environment["closed"]),
            target,
            place=context.store.physical(output),
            version=environment["version"],
            abi=environment["abi"],
            drivers=json.loads(environment.get("drivers", "{}")),
            patchelf=find_patchelf(context.store.settings.path),
            libraries=context.physical(libraries) if libraries else None,
            headers=[context.physical(each) for each in headers],
        )
        led_to = [environment["closed"], *headers, *([libraries] if libraries else [])]
        candidates = {output, *map(StorePath.parse_full, led_to)}
        return placed(context, path, derivation, target, candidates)


def _local_programs(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.closed.localising import find_patchelf
    from envtool.build.closed.programs import localise_programs

    environment = derivation.environment
    wheel = StorePath.parse_full(environment["wheel"])
    interpreter = StorePath.parse_full(environment["interpreter"])
    with scratch(context.store, derivation.name) as target:
        localise_programs(
            context.store.physical(wheel),
            target,
            f"{context.store.physical(interpreter)}/bin/python",
            patchelf=find_patchelf(context.store.settings.path),
            note=lambda text: context.reporter.note(f"{wheel.name}: {text}"),
        )
        # The search path names what the interpreter's leads to.
        candidates = {wheel, *context.store.database.requisites({interpreter})}
        for below in derivation.input_derivations.keys() & context.derivations.keys():
            candidates |= closure(context, context.derivations[below])
        return placed(context, path, derivation, target, candidates)


def _interpreter(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    environment = derivation.environment
    executable = environment["executable"]
    with scratch(context.store, derivation.name) as target:
        os.makedirs(f"{target}/bin")
        os.symlink(executable, f"{target}/bin/{os.path.basename(executable)}")
        fields = ("executable", "sha256", "version", "abi")
        text = json.dumps({field: environment[field] for field in fields}, indent=1)
        with open(f"{target}/{ABOUT}", "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return placed(context, path, derivation, target, {derivation.output_path()})


BUILDERS: Mapping[str, Builder] = {
    INTERPRETER: _interpreter,
    DEBIAN_ROOT: _debian_root,
    DEBIAN_INTERPRETER: _debian_interpreter,
    LIBRARIES: _libraries,
    LOCAL_INTERPRETER: _local_interpreter,
    LOCAL_PROGRAMS: _local_programs,
}
