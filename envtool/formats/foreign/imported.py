"""What a notebook or script imports, as requirements: a good guess, and said to be one."""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator

from envtool.errors import DeclarationError, Fault
from envtool.formats.foreign.carried import Carried, sorted_out

__all__ = ["distribution_of", "parse_notebook", "parse_script"]

_DISTRIBUTIONS = {
    "attr": "attrs",
    "Bio": "biopython",
    "bs4": "beautifulsoup4",
    "cairo": "pycairo",
    "community": "python-louvain",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "GitPython",
    "github": "PyGithub",
    "igraph": "python-igraph",
    "ipywidgets": "ipywidgets",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "ldap3": "ldap3",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "nacl": "PyNaCl",
    "OpenSSL": "pyOpenSSL",
    "osgeo": "gdal",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pywt": "PyWavelets",
    "rest_framework": "djangorestframework",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "sksparse": "scikit-sparse",
    "socks": "PySocks",
    "tables": "tables",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "wx": "wxPython",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
_INSTALL = re.compile(r"^\s*[!%]\s*(?:pip|uv pip|python -m pip)\d?\s+install\s+(.+)$", re.MULTILINE)
_MAGIC = re.compile(r"^\s*(?:[!%?].*|.*\?)$", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\s*%%(?!time|timeit|capture|prun)\w")
_OURS = {"IPython", "google", "__future__"}
"""Come with the kernel, or only where they run."""


def parse_notebook(text: str, siblings: Iterable[str] = (), path: str = "notebook") -> Carried:
    """Return what the code cells of a notebook import and install.

    `siblings` are names of modules that lie beside it.
    """
    try:
        cells = json.loads(text)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeclarationError([Fault(path, None, "", "not a notebook of nbformat 4")]) from error
    joined = [source if isinstance(source, str) else "".join(source) for source in sources]
    return _carried([each for each in joined if not _CELL_MAGIC.match(each)], siblings)


def parse_script(text: str, siblings: Iterable[str] = ()) -> Carried:
    """Return what a script imports."""
    return _carried([text], siblings)


def distribution_of(module: str) -> str:
    """Return the package that a top-level module most likely comes from."""
    return _DISTRIBUTIONS.get(module, module)


def _carried(sources: Iterable[str], siblings: Iterable[str]) -> Carried:
    own = {*siblings, *sys.stdlib_module_names, *_OURS}
    names, left, installed = set[str](), list[str](), list[str]()
    for number, source in enumerate(sources, 1):
        for line in _INSTALL.findall(source):
            installed += [word.strip("'\"") for word in line.split() if not word.startswith("-")]
        try:
            tree = ast.parse(_MAGIC.sub(_as_pass, source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            left.append(f"code cell {number} is not Python that could be read")
            continue
        names |= set(_modules(tree))
    named = {re.split(r"[^A-Za-z0-9._-]", each)[0].lower().replace("_", "-") for each in installed}
    guessed = sorted({distribution_of(name) for name in names - own}, key=str.lower)
    requirements = [*installed, *(g for g in guessed if g.lower().replace("_", "-") not in named)]
    good, wrong = sorted_out(requirements)
    return Carried(requirements=good, left=(*left, *wrong))


def _as_pass(line: re.Match[str]) -> str:
    """Return a statement in the place of a line of IPython's, as far to the right."""
    text = line[0]
    return text[: len(text) - len(text.lstrip())] + "pass"


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
