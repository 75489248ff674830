"""Build a source project into a wheel by its own build back end (PEP 517, PEP 660).

The back end runs in the environment that the lock pins for it, as a process with a cleared
environment, a HOME that does not exist, a private temporary folder and a closed stdin. Its output
goes to a log. This runs code of the project: callers build only what the user declared.
"""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Literal

from envtool.build.sdist import extract
from envtool.errors import BuildError
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
            "HOME": "/homeless-shelter",
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.build.tools}/bin:/usr/local/bin:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "SOURCE_DATE_EPOCH": EPOCH,
            "TMPDIR": f"{self.build.work}/temporary",
            **(extra_environ or {}),
        }
        with open(self.build.log, "ab") as log:
            subprocess.run(
                cmd,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )


def _failed(build: Build, reason: str) -> BuildError:
    with open(build.log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()[-_SHOWN_LINES:]
    shown = "\n".join(f"  | {line}" for line in lines)
    return BuildError(
        f"{build.package}: its build failed: {reason}\n{shown}", hint=f"the whole log: {build.log}"
    )
