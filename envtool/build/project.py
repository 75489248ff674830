"""Build a source project into a wheel by its own build back end (PEP 517, PEP 660).

The back end runs in the environment that the lock pins for it, in a sandbox without network that
shows it its tools, its sources, and the libraries and compilers of the host, or of a system root
that has any. Where the sandbox is off it is a plain process with a cleared environment, a HOME that
does not exist and a private temporary folder. Its output goes to a log.
"""

import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Literal

from envtool.build.sdist import extract
from envtool.errors import BuildError
from envtool.formats.nix.storepath import STORE_DIR
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.sandbox import View
from envtool.machine.isolating.system import views_of
from envtool.values import value

EPOCH = "315532800"
"""1980-01-01, the earliest time that a zip archive can hold."""
_SHOWN_LINES = 15


@value
class Build:
    """What a build is made of."""

    package: str
    tools: str
    """Physical path of the back end's environment."""
    work: str
    """A private folder for sources, temporary files and the wheel."""
    log: str
    """File that receives the back end's output."""
    editable: bool
    bwrap: str | None
    """The program that makes the sandbox; None: no sandbox."""
    inputs: tuple[str, ...]
    """Physical paths of all that the tools refer to, and of their bytecode; seen read-only."""
    system: str | None = None
    """Physical path of a system root whose tools and libraries are seen; None: the host's."""


def copied(tree: str, work: str) -> str:
    """Return a writable copy of a source tree of the store, inside `work`."""
    target = f"{work}/source"
    shutil.copytree(tree, target, symlinks=True)
    for folder, _, names in os.walk(target):
        os.chmod(folder, 0o700)
        for name in names:
            path = f"{folder}/{name}"
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode | 0o200)
    return target


def extracted(archive: str, work: str, package: str) -> str:
    """Return the folder of an sdist's sources, unpacked inside `work`.

    :raises BuildError: not a tar archive with one top folder, or one that leads out of it.
    """
    target = f"{work}/source"
    os.makedirs(target)
    try:
        extract(archive, target)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildError(f"{package}: its sdist cannot be unpacked: {error}") from error
    tops = os.listdir(target)
    if len(tops) != 1:
        raise BuildError(f"{package}: its sdist must hold one folder, holds {len(tops)}")
    return f"{target}/{tops[0]}"


def build_wheel(build: Build, source: str) -> str:
    """Build the project at `source` and return the wheel's path.

    :raises BuildError: no such project, or the back end failed; names the log.
    """
    from build import (
        BuildBackendException,
        BuildException,
        FailedProcessError,
        ProjectBuilder,
    )
    from pyproject_hooks import BackendUnavailable

    kind: Literal["editable", "wheel"] = "editable" if build.editable else "wheel"
    os.makedirs(f"{build.work}/temporary", exist_ok=True)
    open(build.log, "wb").close()  # the log of the last try alone
    try:
        builder = ProjectBuilder(
            source, python_executable=f"{build.tools}/bin/python", runner=_Runner(build)
        )
        needed = builder.get_requires_for_build(kind)
        _check_tools(build, needed)
        return builder.build(kind, f"{build.work}/wheel")
    except BuildBackendException as error:
        if isinstance(error.exception, BackendUnavailable):
            raise BuildError(
                f"{build.package}: {error}",
                hint="name it in requires of [build-system], then: envtool lock --upgrade",
            ) from error
        raise _failed(build, str(error)) from error
    except FailedProcessError as error:
        raise _failed(build, str(error)) from error
    except BuildException as error:
        raise BuildError(f"{build.package}: cannot be built: {error}") from error


def _check_tools(build: Build, needed: set[str]) -> None:
    """Check that the lock has what the back end asks for on top of its declaration."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    present = {
        canonicalize_name(name.split("-")[0])
        for folder in _site_folders(build.tools)
        for name in os.listdir(folder)
        if name.endswith(".dist-info")
    }
    for text in sorted(needed):
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate()
        if applies and canonicalize_name(requirement.name) not in present:
            raise BuildError(
                f"{build.package}: its back end asks for {text}, which the lock does not have",
                hint=f"add {requirement.name!r} to requires of [build-system], "
                "then: envtool lock --upgrade",
            )


def _site_folders(environment: str) -> list[str]:
    library = f"{environment}/lib"
    versions = [name for name in os.listdir(library) if name.startswith("python")]
    return [f"{library}/{name}/site-packages" for name in versions]


@value
class _Runner:
    """Runs the back end's hooks, as `pyproject_hooks` asks."""

    build: Build

    def __call__(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        environment = {
            # Debugging information names the folder of the source, which lies in our store, as
            # the headers of an interpreter of our own do. Of two that fit the last one counts.
            "CPPFLAGS": " ".join(
                f"-ffile-prefix-map={shlex.quote(path)}={name}"
                for path, name in (
                    (os.path.dirname(self.build.work), STORE_DIR),
                    (self.build.work, "/build"),
                )
            ),
            "HOME": sandbox.HOME,
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.build.tools}/bin:/usr/local/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "SOURCE_DATE_EPOCH": EPOCH,
            "TMPDIR": f"{self.build.work}/temporary",
            **(extra_environ or {}),
        }
        folder = cwd or self.build.work
        with open(self.build.log, "ab") as log:
            if self.build.bwrap is None:
                code = subprocess.run(
                    cmd,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
            else:
                inside = sandbox.Sandbox(self._views(cmd, folder), environment, folder)
                code = sandbox.run(self.build.bwrap, inside, cmd, output=log)
        if code != 0:
            raise subprocess.CalledProcessError(code, cmd)

    def _views(self, cmd: Sequence[str], folder: str) -> tuple[View, ...]:
        """Return what a hook sees; its words name its script and the folder of its answer."""
        _, script, _, answer = cmd
        system = self.build.system
        views = [*(sandbox.host_system() if system is None else views_of(system))]
        views += map(View, _interpreter(self.build.tools))
        views += [View(path) for path in self.build.inputs if os.path.exists(path)]
        if self.build.editable:
            views += [*map(View, _repository(folder)), View(folder, writable=True)]
        views += [View(os.path.dirname(script)), View(answer, writable=True)]
        return (*views, View(self.build.work, writable=True))


def _interpreter(tools: str) -> list[str]:
    """Return the parts of the host's interpreter, which may lie outside of its system folders."""
    executable = os.path.realpath(f"{tools}/bin/python")
    prefix = os.path.dirname(os.path.dirname(executable))
    parts = [executable, *(f"{prefix}/{name}" for name in ("lib", "lib64", "include"))]
    return [part for part in parts if not part.startswith("/usr/") and os.path.exists(part)]


def _repository(project: str) -> list[str]:
    """Return the git work tree around a project, which back ends ask for its version."""
    folder = os.path.dirname(os.path.realpath(project))
    while folder != "/":
        if os.path.lexists(f"{folder}/.git"):
            return [folder]
        folder = os.path.dirname(folder)
    return []


def _failed(build: Build, reason: str) -> BuildError:
    with open(build.log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()[-_SHOWN_LINES:]
    shown = "\n".join(f"  | {line}" for line in lines)
    return BuildError(
        f"{build.package}: its build failed: {reason}\n{shown}", hint=f"the whole log: {build.log}"
    )
