"""The texts of bin/: launchers of entry points, and scripts of wheels with a real `#!` line."""

import os

_MAX_SHEBANG = 250
"""Linux reads 256 bytes of a `#!` line (`BINPRM_BUF_SIZE`)."""


def launcher(python: str, module: str, attribute: str) -> str:
    """Return the text of the console script for `module:attribute`, run by `python`."""
    top = attribute.split(".", 1)[0]
    return (
        f"{_shebang(python)}# -*- coding: utf-8 -*-\nimport sys\nfrom {module} import {top}\n"
        f'if __name__ == "__main__":\n    sys.exit({attribute}())\n'
    )


def _shebang(python: str) -> str:
    """Return the first lines of a Python script; a shell is the way round Linux's limits."""
    if len(os.fsencode(python)) < _MAX_SHEBANG and python.split() == [python]:
        return f"#!{python}\n"
    quoted = python.replace("'", "'\\''")
    return f"#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''\n"


def rewritten(path: str, python: str) -> str | None:
    """Return a wheel's script with `#!python` made real; None when it may be linked as it is."""
    with open(path, "rb") as file:
        if file.read(8) != b"#!python":
            return None
        file.seek(0)
        data = file.read()
    body = data.partition(b"\n")[2]
    return _shebang(python) + body.decode("utf-8", "surrogateescape")
