"""The process that realises an environment for a relay, and the relay's end of it.

It is a process of its own, so that a kernel that waits stays quick and small, and an interrupt can
end the work at any point. One JSON object per line comes back: `progress` (what to show now), and
at last `done` or `error`.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import envtool
from envtool.errors import EnvtoolError, KernelError
from envtool.kernel.relay.child import Child
from envtool.machine.settings import load

if TYPE_CHECKING:
    from envtool.machine.project import Project

__all__ = ["Building", "main"]

_EVERY = 0.25
"""Seconds between two pictures of the progress."""
_CHUNK = 1 << 16


class Building:
    """A build that goes on in a process of its own."""

    def __init__(self, project: "Project", environ: Mapping[str, str], *, is_asked: bool) -> None:
        """Begin; `is_asked` says that the user wants it built, whatever it takes.

        :raises KernelError: no process can be started.
        """
        self.descriptor, writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        self._rest = b""
        self._has_result = False
        package = os.path.dirname(os.path.dirname(os.path.abspath(envtool.__file__)))
        code = (
            f"import sys; sys.path.insert(0, {package!r}); "
            "from envtool.kernel.relay.building import main; sys.exit(main(sys.argv[1:]))"
        )
        words = [str(writer), project.path, project.environment, "asked" if is_asked else ""]
        try:
            self._child = Child([sys.executable, "-c", code, *words], environ, keep=[writer])
        except OSError as error:
            os.close(self.descriptor)
            raise KernelError(f"{sys.executable} cannot be started: {error.strerror}") from error
        finally:
            os.close(writer)

    def news(self) -> Iterator[dict[str, Any]]:
        """Yield what came since the last time; with its end comes a result in any case."""
        while True:
            try:
                data = os.read(self.descriptor, _CHUNK)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                told = json.loads(line)
                self._has_result |= "progress" not in told
                yield told
            if not data:
                if not self._has_result:
                    yield {"error": ["KernelError", "the build ended without a result", None]}
                return

    def stop(self) -> None:
        """End it, done or not."""
        if self._has_result:
            self._child.wait()
        self._child.stop()
        os.close(self.descriptor)


# In the process of its own


class _Pictures:
    """Sends what is to be shown, at a steady pace, until the end of the work."""

    def __init__(self, writer: int, name: str) -> None:
        from envtool.kernel.relay.progress import Progress

        self.progress = Progress(name)
        self._writer = writer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _draw(self) -> None:
        while not self._ended.wait(_EVERY):
            _tell(self._writer, {"progress": self.progress.picture()})


def main(argv: Sequence[str]) -> int:
    """Realise what the words name: a pipe's descriptor, a declaration, its environment, `asked`."""
    writer, path, environment, is_asked = int(argv[0]), argv[1], argv[2], bool(argv[3])
    os.set_inheritable(writer, False)
    # What builders print belongs to the log, as all that a kernel prints before it is one.
    os.dup2(2, 1)
    try:
        _realise(writer, path, environment, is_asked=is_asked)
    except EnvtoolError as error:
        from envtool.formats.hints import placed  # only a fault pays for it

        meant = ["-f", path, *([] if environment == "default" else ["-e", environment])]
        hint = placed(error.hint, meant)
        _tell(writer, {"error": [type(error).__name__, error.message, hint]})
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - what a kernel's build dies of is told in its cells
        told = f"{type(error).__name__}: {error}\nThis is a bug in envtool."
        _tell(writer, {"error": ["EnvtoolError", told, None]})
    return 0


def _realise(writer: int, path: str, environment: str, *, is_asked: bool) -> None:
    from envtool.kernel.entering import magics_folder
    from envtool.kernel.origin import refuse_unknown
    from envtool.workspace.entering import open_project
    from envtool.workspace.workspace import Workspace

    with _Pictures(writer, os.path.basename(path)) as pictures:
        project = open_project("/", file=path, environment=environment)
        workspace = Workspace(load(os.environ), pictures.progress)
        if not is_asked:
            refuse_unknown(workspace, project)
        # A notebook that is open in an editor must not change on the disk.
        workspace.switch(project, save_lock=not project.kind.startswith("notebook"))
        magics_folder(workspace)
    _tell(writer, {"done": True})


def _tell(writer: int, told: Mapping[str, Any]) -> None:
    data = json.dumps(told).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]
