"""What a kernel has to say as it starts, said with the first cell and saved with no output.

The launcher leaves it in a variable. As a stream that belongs to no cell it comes into the log of a
notebook's front end, and onto the screen of a console.
"""

import os
from typing import Any

__all__ = ["notice", "say_with_first_cell"]

_VARIABLE = "ENVTOOL_NOTICE"


def notice() -> str | None:
    """Return what is to be said, and see that no process that the kernel starts says it again."""
    return os.environ.pop(_VARIABLE, None)


def say_with_first_cell(ipython: Any, text: str) -> None:
    """Say it when a front end is there to hear it."""
    said = "".join(f"envtool: {line}\n" for line in text.splitlines())

    def say(*_: object) -> None:
        ipython.events.unregister("pre_run_cell", say)
        kernel = ipython.kernel
        kernel.session.send(
            kernel.iopub_socket,
            "stream",
            {"name": "stderr", "text": said},
            ident=b"stream.stderr",
        )

    ipython.events.register("pre_run_cell", say)
