"""The digest of a declaration moves when its lock may be another one, and never else."""

import subprocess
import sys

import pytest
from fixtures.declarations import read

from envtool.formats.declarations.declaration import (
    lock_digest,
)
from envtool.values import replace

BASE = """\
python = ">=3.11"
dependencies = ["numpy>=2", "Pandas"]
index = "https://example.org/simple"
"""

REORDERED = """\
# comment
dependencies = ["pandas", "numpy >= 2"]
index = "https://example.org/simple"
python = ">= 3.11"
"""


@pytest.mark.parametrize(
    "other",
    [
        REORDERED,
        BASE + '[vars]\nA = "1"\n[shell]\nhook = "x"\n',
        'name = "other"\n' + BASE,
        'interpreter = "host"\n' + BASE,
    ],
)
def test_the_digest_stays_when_the_lock_would(other: str) -> None:
    assert lock_digest(read(other)) == lock_digest(read(BASE))


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("3.11", "3.12"),
        BASE.replace("numpy>=2", "numpy>=3"),
        BASE.replace("simple", "other"),
        BASE + '[sources]\nnumpy = { path = "." }\n',
        BASE + '[sources]\nnumpy = { path = ".", editable = true }\n',
        'exclude-newer = "2026-01-31"\n' + BASE,
        'sdists = ["numpy"]\n' + BASE,
        BASE + "[kernel]\n",
        'interpreter = "debian"\n' + BASE,
    ],
)
def test_the_digest_moves_when_the_lock_may(other: str) -> None:
    digests = {lock_digest(read(text)) for text in (BASE, other)}
    assert len(digests) == 2


def test_the_digest_is_an_sri_and_ignores_where_the_file_lies() -> None:
    found = read(BASE)
    digest = lock_digest(found)
    assert digest.startswith("sha256-")
    assert len(digest) == len("sha256-") + 44
    assert lock_digest(replace(found, path="/elsewhere", name="x")) == digest


def test_importing_the_values_brings_in_no_reader() -> None:
    program = (
        "import sys, envtool.formats.declarations.declaration, envtool.machine.project;"
        "print(sorted({'tomllib', 'packaging', 'difflib', 'tomlkit', 'json'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert out == "[]\n"
