"""Wheels' own programs, such as `ruff` or `cmake`, in an environment whose interpreter is our own.

A program asks the kernel for its loader by an absolute path, the host's; the environment joins, in
place of such a wheel, a local object in which its programs ask for the interpreter's.
"""

from collections.abc import Sequence

from envtool.formats.nix.storepath import StorePath
from envtool.plan.derivations import LOCAL, LOCAL_PROGRAMS, Instantiation, derivation, store_name
from envtool.sources.interpreter import Interpreter

__all__ = ["add_programs"]


def add_programs(
    made: Instantiation, names: Sequence[str], python: StorePath, interpreter: Interpreter
) -> None:
    """Let the environment join wheels of these names with programs that start by its own loader.

    `python` is the `.drv` path of the interpreter that the environment is entered by.
    """
    for name in names:
        if name in made.packages:
            made.joined[name] = _add(made, made.packages[name], python, interpreter.machine)


def _add(made: Instantiation, wheel: StorePath, python: StorePath, machine: str) -> StorePath:
    variables = {
        LOCAL: "1",
        "wheel": made.output(wheel).full(),
        "interpreter": made.output(python).full(),
    }
    name = store_name(f"{made.output(wheel).name}-local")
    inputs = [wheel, python]
    return made.add(derivation(name, LOCAL_PROGRAMS, variables, inputs, system=f"{machine}-linux"))
