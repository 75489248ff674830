"""Complete the standard library of an interpreter of our own: certificates, time zones, bytecode.

Debian's interpreter finds these by absolute paths. Here they lie in the interpreter's own object,
at a place that is known only when it runs; two modules get a few lines that look there. The host's
certificates come first where it has any: they may hold a company's own authority.
"""

import os
import subprocess

from envtool.build.closed.joining import library_folder, library_folders
from envtool.build.closed.shutting import loader
from envtool.errors import BuildError

__all__ = ["SHARED", "compile_all", "complete"]

SHARED = "shared"
"""A link of the interpreter on this machine: to the libraries that wheels need beside its own."""

_BUNDLE = "usr/share/ca-certificates.crt"
_AUTHORITIES = "usr/share/ca-certificates"
_TERMINALS, _USUAL_TERMINALS = "usr/lib/terminfo", "usr/share/terminfo"

_SSL = """

# envtool: certificates of the interpreter's own closure, where the host has none.
def _closed_certificates():
    import os
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        return
    host = (
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    )
    here = os.path.realpath(os.path.dirname(__file__))
    own = os.path.join(here, "../../share/ca-certificates.crt")
    os.environ["SSL_CERT_FILE"] = next(filter(os.path.exists, host), os.path.normpath(own))


_closed_certificates()
"""

_ZONES = """

# envtool: time zones of the interpreter's own closure, where the host has none.
def _closed_zones():
    import os
    here = os.path.realpath(os.path.dirname(__file__))
    own = os.path.normpath(os.path.join(here, "../../share/zoneinfo"))
    build_time_vars["TZPATH"] = ":".join([build_time_vars.get("TZPATH", ""), own]).strip(":")


_closed_zones()
"""

_FINDING = f"""

# envtool: libraries of the interpreter's own closure; those of the host could not be loaded.
def find_library(name):
    import sys
    found = []
    base = os.path.join(sys.base_prefix, "lib")
    folders = [os.path.join(sys.base_prefix, {SHARED!r}), base]
    folders += [os.path.join(base, each) for each in os.listdir(base) if each.endswith("-gnu")]
    for folder in folders:
        if os.path.isdir(folder):
            start = "lib" + name + ".so."
            found += [each for each in os.listdir(folder) if each.startswith(start)]
    return min(found, key=lambda each: (each.count("."), each), default=None)
"""


def complete(tree: str, feature: str) -> None:
    """Add certificates and time zones to the tree of an interpreter; terminals go to one place.

    :raises BuildError: the tree has no standard library of this feature release.
    """
    stdlib = f"{tree}/usr/lib/python{feature}"
    if not os.path.isfile(f"{stdlib}/os.py"):
        raise BuildError(f"the interpreter's packages have no standard library of Python {feature}")
    if os.path.isfile(f"{stdlib}/ctypes/util.py"):
        _append(f"{stdlib}/ctypes/util.py", _FINDING)
    if os.path.isdir(f"{tree}/{_TERMINALS}") and not os.path.exists(f"{tree}/{_USUAL_TERMINALS}"):
        os.makedirs(f"{tree}/usr/share", exist_ok=True)
        os.rename(f"{tree}/{_TERMINALS}", f"{tree}/{_USUAL_TERMINALS}")
    if os.path.isdir(f"{tree}/{_AUTHORITIES}"):
        _bundle(tree)
        _append(f"{stdlib}/ssl.py", _SSL)
    if os.path.isdir(f"{tree}/usr/share/zoneinfo"):
        for name in sorted(os.listdir(stdlib)):
            if name.startswith("_sysconfigdata_") and not os.path.islink(f"{stdlib}/{name}"):
                _append(f"{stdlib}/{name}", _ZONES)


def _bundle(tree: str) -> None:
    """Write all authorities into one file, as `update-ca-certificates` does."""
    found: list[bytes] = []
    for folder, folders, names in os.walk(f"{tree}/{_AUTHORITIES}"):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".crt"):
                with open(f"{folder}/{name}", "rb") as file:
                    found.append(file.read().rstrip(b"\n") + b"\n")
    with open(f"{tree}/{_BUNDLE}", "xb") as file:
        file.writelines(found)


def _append(path: str, text: str) -> None:
    """Write the file anew with more at its end: it may be shared with another object."""
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    with open(path, "xb") as file:
        file.write(data + text.encode())


def compile_all(tree: str, feature: str) -> None:
    """Compile the standard library by the interpreter itself, always to the same bytes.

    One process and a fixed hash seed: what it has met before decides about marshalled references.
    The sources never change, so the bytecode is not checked against them (PEP 552).

    :raises BuildError: the interpreter does not start, or a module does not compile.
    """
    folder = library_folder(tree)
    path = ":".join(library_folders(tree))
    python = f"{tree}/usr/bin/python{feature}"
    words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    places = ["-s", tree, "-p", "/", f"{tree}/usr/lib/python{feature}"]
    done = subprocess.run(
        [loader(folder), "--library-path", path, python, "-B", "-S", "-s", *words, *places],
        env={"PYTHONHOME": f"{tree}/usr", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()[-5:]
        raise BuildError(f"Python {feature} cannot compile its own library: " + "\n".join(said))
