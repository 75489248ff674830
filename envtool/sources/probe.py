"""Asking an interpreter what it is, once: the answer is kept while the executable is the same."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from envtool.values import asdict, value

__all__ = ["Interpreter", "Prober", "is_program", "running_program", "split_version"]


@value
class Interpreter:
    """One interpreter of the host."""

    executable: str
    """Its real path."""
    version: str
    """`3.11.2`, a pre-release as `3.14.0rc1`."""
    feature: str
    """`3.11`."""
    implementation: str
    """`cpython`."""
    abi: str
    """The ABI tag of wheels built for it alone: `cp311`, `cp313t` (free-threaded), `cp311d`."""
    soabi: str
    """What stands in the names of its extension modules: `cpython-311-x86_64-linux-gnu`."""
    machine: str
    """`x86_64`, `aarch64`; of the interpreter, which may be a 32-bit one on a 64-bit kernel."""
    glibc: tuple[int, int] | None
    """None when it runs on another libc."""
    platlibdir: str
    """`lib`, on some distributions `lib64`."""
    stdlib: str
    """Absolute path of its standard library."""
    purelib: str
    """Where an environment of it has its packages, relative to the environment."""
    platlib: str
    """The same for packages with extension modules; mostly equal to `purelib`."""
    sha256: str
    """Of the executable file; 64 hex digits."""


_FORMAT = 1
"""Of the file the answers are kept in; another number is as good as no file."""

# For any Python 3: what is older than envtool's own can still be listed.
_QUESTION = """
import os, sys, sysconfig
info = sys.version_info
level = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(info.releaselevel)
version = "%d.%d.%d" % info[:3] + ("%s%d" % (level, info.serial) if level else "")
scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
inside = {"base": ".", "platbase": "."}
machine = sysconfig.get_platform().split("-", 1)[-1]
if sys.maxsize < 2**32:
    machine = {"x86_64": "i686", "aarch64": "armv8l"}.get(machine, machine)
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (ValueError, OSError):
    libc = ""
answer = {
    "version": version,
    "implementation": sys.implementation.name,
    "abiflags": getattr(sys, "abiflags", ""),
    "soabi": sysconfig.get_config_var("SOABI") or "",
    "machine": machine.replace("-", "_").replace(".", "_"),
    "libc": libc,
    "platlibdir": getattr(sys, "platlibdir", "lib"),
    "stdlib": sysconfig.get_path("stdlib"),
    "purelib": sysconfig.get_path("purelib", scheme, inside),
    "platlib": sysconfig.get_path("platlib", scheme, inside),
    "base": getattr(sys, "_base_executable", None) or sys.executable,
}
"""
_TELL = "import json; print(json.dumps(answer))"
_SAID = (
    *("version", "implementation", "abiflags", "soabi", "machine", "libc"),
    *("platlibdir", "stdlib", "purelib", "platlib", "base"),
)


def split_version(version: str) -> tuple[tuple[int, ...], bool]:
    """Return the release numbers of an interpreter's version, and whether it is a final one."""
    numbers = re.match(r"[\d.]*\d", version)
    release = numbers[0] if numbers else "0"
    return tuple(map(int, release.split("."))), release == version


def is_program(path: str) -> bool:
    """Return whether the file is an ELF executable we may run; a shim is a script."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False


class Prober:
    """Asks interpreters, remembering what they answered; used with `with`.

    `failures` says of each path that gave no answer why.
    """

    def __init__(self, environ: Mapping[str, str], cache_path: str | None, limit: float) -> None:
        # An interpreter may need LD_LIBRARY_PATH; -I is deaf to PYTHON*, a wrapper may not be.
        self._environ = {
            name: value for name, value in environ.items() if not name.startswith("PYTHON")
        }
        self._cache_path = cache_path
        self._limit = limit
        self._kept = _load(cache_path) if cache_path else {}
        self._has_news = False
        self.failures: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cache_path and self._has_news:
            _save(self._cache_path, self._kept)

    def probe_all(self, paths: Iterable[str]) -> Iterator[Interpreter]:
        """Return what answers, in the given order, each interpreter once."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            found = dict.fromkeys(pool.map(self.probe, paths))
        return (each for each in found if each is not None)

    def probe(self, path: str) -> Interpreter | None:
        """Return what the program at `path` is; None (and a failure) if it does not say."""
        real = os.path.realpath(path)
        try:
            status = os.stat(real)
        except OSError as error:
            self.failures[path] = error.strerror or "cannot be read"
            return None
        state = [status.st_size, status.st_mtime_ns]
        kept = _interpreter(self._kept.get(real), state)
        return kept or self._ask(path, real, state)

    def _ask(self, path: str, real: str, state: list[int]) -> Interpreter | None:
        # A script decides by its name what to run; only its answer says which program that is.
        program = real if is_program(real) else path
        answer = _own_answer() if real == running_program() else self._answer(program)
        if isinstance(answer, str):
            self.failures[path] = answer
            return None
        base = os.path.realpath(answer["base"])
        if base != real and is_program(base):
            return self.probe(base)
        found = _from_answer(answer, real)
        self._kept[real] = {"state": state, **asdict(found)}
        self._has_news = True
        return found

    def _answer(self, program: str) -> dict[str, Any] | str:
        """Run the program; return what it said, or why there is no answer."""
        import signal
        import subprocess

        try:
            process = subprocess.Popen(
                [program, "-I", "-S", "-B", "-c", _QUESTION + _TELL],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that a shim's children can be killed with it
            )
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        with process:
            try:
                output, _ = process.communicate(timeout=self._limit)
            except subprocess.TimeoutExpired:
                return f"did not answer within {self._limit:g} s"
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
        return _decode(output, process.returncode)


def running_program() -> str:
    """Return the real path of the interpreter that runs envtool, not of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _own_answer() -> dict[str, Any]:
    """Return what this very interpreter would say, without starting it a second time."""
    scope: dict[str, Any] = {}
    exec(_QUESTION, scope)  # noqa: S102 - the constant above
    answer: dict[str, Any] = scope["answer"]
    return answer


def _decode(output: bytes, status: int) -> dict[str, Any] | str:
    if status != 0:
        return f"failed with exit status {status}"
    try:
        answer = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        return "is no Python 3"
    if not isinstance(answer, dict) or not all(isinstance(answer.get(key), str) for key in _SAID):
        return "is no Python 3"
    return answer


def _from_answer(answer: Mapping[str, Any], executable: str) -> Interpreter:
    from hashlib import file_digest

    version = str(answer["version"])
    major, minor = version.split(".")[:2]
    glibc = re.fullmatch(r"glibc (\d+)\.(\d+).*", answer["libc"])
    with open(executable, "rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return Interpreter(
        executable=executable,
        version=version,
        feature=f"{major}.{minor}",
        implementation=answer["implementation"],
        abi=f"cp{major}{minor}{answer['abiflags']}",
        soabi=answer["soabi"],
        machine=answer["machine"],
        glibc=(int(glibc[1]), int(glibc[2])) if glibc else None,
        platlibdir=answer["platlibdir"],
        stdlib=answer["stdlib"],
        purelib=os.path.normpath(answer["purelib"]),
        platlib=os.path.normpath(answer["platlib"]),
        sha256=digest,
    )


def _interpreter(kept: Any, state: list[int]) -> Interpreter | None:
    """Return what was kept about an executable, if that is still the same file."""
    if not isinstance(kept, dict) or kept.get("state") != state:
        return None
    fields = {name: value for name, value in kept.items() if name != "state"}
    glibc = fields.get("glibc")
    fields["glibc"] = None if glibc is None else tuple(glibc)
    try:
        return Interpreter(**fields)
    except TypeError:  # written by another envtool, with other fields
        return None


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return {}  # it can be made again
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        return {}
    kept = document.get("interpreters")
    return kept if isinstance(kept, dict) else {}


def _save(path: str, kept: Mapping[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "interpreters": kept}, file, indent=1)
        os.replace(temporary, path)
    except OSError:
        return  # read-only or full: next time they are asked again
