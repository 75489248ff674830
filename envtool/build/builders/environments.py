"""Environments composed of their packages."""

import json
import os
from collections.abc import Mapping

from envtool.build import bytecode
from envtool.build.builders.context import ABOUT, Builder, Context, closure, placed, scratch
from envtool.build.compose import Component, Pointer, Specification, compose
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.plan.derivations import ENVIRONMENT, SYSTEM_ROOT
from envtool.reporting import Step

__all__ = ["BUILDERS"]


def _environment(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    environment = derivation.environment
    store = context.store
    output = derivation.output_path()
    packages: dict[str, str] = json.loads(environment["packages"])
    interpreter = StorePath.parse_full(environment["interpreter"])
    objects = {name: StorePath.parse_full(full) for name, full in packages.items()}
    with open(f"{store.physical(interpreter)}/{ABOUT}", "rb") as file:
        python = json.load(file)
    specification = Specification(
        store=store.settings.store,
        base=output,
        interpreter=interpreter,
        executable=python["executable"],
        version=python["version"],
        components=tuple(Component(name, base) for name, base in objects.items()),
        bytecode=bytecode.prefix(store.settings.cache, output),
        collisions=environment["collisions"],
        pointers=tuple(
            Pointer(name, path, tuple(hosts)) for name, path, hosts in python.get("pointers", ())
        ),
    )
    with scratch(store, derivation.name) as target:
        for collision in compose(specification, target).collisions:
            context.reporter.note(f"{collision}; the first is used")
        candidates = {output, interpreter, *objects.values()}
        if SYSTEM_ROOT in environment:
            system = StorePath.parse_full(environment[SYSTEM_ROOT])
            os.symlink(f"../{system}", f"{target}/system")
            candidates.add(system)
        # What it is made of is registered with its closure, or else its derivation is at hand.
        candidates |= store.database.requisites(candidates).keys()
        for below in derivation.input_derivations.keys() & context.derivations.keys():
            candidates |= closure(context, context.derivations[below])
        return placed(context, path, derivation, target, candidates)


BUILDERS: Mapping[str, Builder] = {
    ENVIRONMENT: _environment,
}
