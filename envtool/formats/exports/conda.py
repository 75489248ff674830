"""The lock as an environment.yml: Python from conda, all packages by pip at their versions."""

import json
from collections.abc import Iterator, Mapping

from envtool.formats.exports.requirements_txt import requirement
from envtool.formats.locked import Lock

__all__ = ["render"]


def render(lock: Lock, name: str, variables: Mapping[str, str]) -> str:
    """Return an environment.yml that `conda env create` takes."""
    return "\n".join(_lines(lock, name, variables)) + "\n"


def _lines(lock: Lock, name: str, variables: Mapping[str, str]) -> Iterator[str]:
    yield f"name: {json.dumps(name)}"
    yield "channels:\n  - conda-forge"
    yield f"dependencies:\n  - python={lock.python.version}\n  - pip"
    if lock.packages:
        yield "  - pip:"
        # JSON's strings are YAML's.
        yield from (f"      - {json.dumps(requirement(each))}" for each in lock.packages)
    if variables:
        yield "variables:"
        for key, word in variables.items():
            yield f"  {key}: {json.dumps(word, ensure_ascii=False)}"
