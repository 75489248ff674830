"""conda's environment.yml.

Packages of conda that are not Python's are left, and so are pins of builds. A few have other
names on the package index; these are known.
"""

import re
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.foreign.carried import Carried, sorted_out

__all__ = ["parse"]

_SPEC = re.compile(
    r"(?:[\w./:-]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?:\[.*\])?\s*"
    r"(?P<version>[=<>!~ ]*[\w.*!<>=~,| +-]*?)?(?:[= ](?P<build>[\w.*]*_[\w.*]*|\*))?"
).fullmatch
_TERM = re.compile(r"(==|!=|<=|>=|~=|<|>|=|)\s*([\w.!+-]+?)(\.?\*)?").fullmatch
_RENAMED = {
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "py-xgboost": "xgboost",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "python-kaleido": "kaleido",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "ruamel_yaml": "ruamel.yaml",
    "seaborn-base": "seaborn",
    "snakemake-minimal": "snakemake",
}
_NOT_PYTHON = re.compile(
    r"_.*|lib.*|r(?:-.*)?|cuda.*|cudnn|nccl|mkl|blas|openblas|openmp|llvm.*|gcc.*|gxx.*|clang.*"
    r"|ld_impl.*|binutils.*|sysroot.*|nodejs|graphviz|pandoc|git|make|ffmpeg|gdal|proj|geos|hdf5"
    r"|ca-certificates|openssl|sqlite|zlib|zstd|xz|tk|readline|ncurses|bzip2|expat|icu|lz4-c"
    r"|c-ares|krb5|freetype|fontconfig|cairo|pango|glib|qt.*|jpeg|java|openjdk|perl|ruby|go|rust"
    r"|postgresql|redis|mysql|texlive.*|bash|zsh|wget|curl|openmpi|mpich|fftw|eigen|boost.*"
).fullmatch
_SILENT = {"pip", "python_abi", "tzdata"}


def parse(text: str, path: str = "environment.yml") -> Carried:
    """Return what an environment.yml asks for.

    :raises DeclarationError: it is no such file.
    """
    document = _document(text, path)
    requirements, left = list[str](), list[str]()
    python: str | None = None
    for entry in document.get("dependencies") or []:
        if isinstance(entry, dict):
            requirements += [str(each) for each in entry.get("pip") or []]
            left += [f"{key}: …" for key in entry if key != "pip"]
            continue
        name, version = _read(str(entry), left)
        if name == "python":
            python = version.removeprefix("==").removesuffix(".*") if version else None
        elif name and name not in _SILENT:
            requirements.append(f"{_RENAMED.get(name, name)}{version}")
    good, wrong = sorted_out([each for each in requirements if not each.startswith("-")])
    left += [each for each in requirements if each.startswith("-")]
    variables = document.get("variables") or {}
    return Carried(
        requirements=good,
        python=python,
        variables=tuple((str(key), str(word)) for key, word in variables.items()),
        left=(*left, *wrong),
    )


def _document(text: str, path: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise DeclarationError([Fault(path, None, "", f"not YAML: {error}")]) from error
    if not isinstance(document, dict) or not isinstance(document.get("dependencies") or [], list):
        raise DeclarationError([Fault(path, None, "dependencies", "expected a list of packages")])
    if not isinstance(document.get("variables") or {}, dict):
        raise DeclarationError([Fault(path, None, "variables", "expected names and values")])
    return document


def _read(entry: str, left: list[str]) -> tuple[str, str]:
    """Return name and specifier; an empty name for what is left."""
    match = _SPEC(entry.strip())
    if match is None:
        left.append(f"{entry} (not understood)")
        return "", ""
    name = match["name"].lower()
    if _NOT_PYTHON(name):
        left.append(f"{entry} (not a package of Python)")
        return "", ""
    version = _specifier((match["version"] or "").strip())
    if version is None:
        left.append(f"{entry}: only its name was carried over")
        return name, ""
    return name, version


def _specifier(text: str) -> str | None:
    """Return conda's version as a specifier of PEP 440; None when it cannot be said so."""
    if not text or text == "*":
        return ""
    terms = []
    for part in text.split(","):
        match = _TERM(part.strip())
        if match is None:
            return None
        sign, release, star = match.groups()
        # `=1.2` and `1.2.*` are prefixes, `1.2` and `==1.2` are exact.
        if sign in {"=", ""} or star:
            prefix = ".*" if sign == "=" or star else ""
            terms.append(f"{'!=' if sign == '!=' else '=='}{release}{prefix}")
        else:
            terms.append(f"{sign}{release}")
    return ",".join(terms)
