"""What the hook of a declaration, run on its own, does to the variables."""

import os
from collections.abc import Mapping, Sequence

from envtool.cli.becoming import locate
from envtool.formats.activation import EnvironmentChange, change, compose

__all__ = ["hooked", "with_hook"]

BASHS_OWN = ("_", "SHLVL", "PWD", "OLDPWD", "BASHOPTS", "SHELLOPTS")


def hooked(hook: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables after a bash of its own has run the hook; what it prints is for people.

    A hook that fails has changed what it changed until then. What is no variable, such as a
    function or an alias, ends with that bash.
    """
    import subprocess

    reader, writer = os.pipe()
    env = locate("env", os.environ) or "/usr/bin/env"
    # At the end, so that a hook that exits is heard, too.
    script = f"trap '{env} -0 >&{writer}' EXIT\n{hook}\n"
    argv = ["bash", "--norc", "--noprofile", "-c", script]
    with open(reader, "rb") as stream:
        process = subprocess.Popen(argv, env=dict(environ), stdout=2, pass_fds=[writer])
        os.close(writer)
        output = stream.read()
        process.wait()
    pairs = [os.fsdecode(line).partition("=") for line in output.split(b"\0") if line]
    if not pairs:
        return dict(environ)
    kept = {name: environ[name] for name in BASHS_OWN if name in environ}
    return {name: text for name, _, text in pairs if name not in BASHS_OWN} | kept


def with_hook(
    entered: EnvironmentChange, hook: str | None, environ: Mapping[str, str]
) -> EnvironmentChange:
    """Return a change that does what the hook does, too, for a shell that cannot run it itself."""
    if hook is None:
        return entered
    before = entered.apply(environ)
    after = hooked(hook, before)
    gone = [name for name in before if name not in after]
    new = {name: text for name, text in after.items() if before.get(name) != text}
    lists = {n: _new(before.get(n, ""), new.pop(n)) for n, _ in entered.prepended if n in new}
    return compose(entered, change(assign=new, unset=gone, prepend=lists))


def _new(before: str, after: str) -> Sequence[str]:
    """Return what a list has that it had not, for it to lead whatever the list will hold."""
    known = before.split(":")
    return [entry for entry in after.split(":") if entry and entry not in known]
