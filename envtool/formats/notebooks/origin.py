"""The record of a run, `metadata.envtool.run`: which closure made the outputs, and how."""

from __future__ import annotations

from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Origin", "read_origin"]


@value
class Origin:
    """What made a notebook's outputs. What an older envtool did not record is empty."""

    environment: str
    """Logical store path."""
    lock: str
    """SRI of the lock's text."""
    envtool: str
    """Version of the envtool that ran it."""
    python: str
    parameters: dict[str, Any]

    def json(self, **more: Any) -> dict[str, Any]:
        """Return what the metadata holds, with `more` that depends on the moment."""
        return {
            "environment": self.environment,
            "envtool": self.envtool,
            "lock": self.lock,
            "parameters": self.parameters,
            "python": self.python,
            **more,
        }


def read_origin(notebook: Mapping[str, Any]) -> Origin | None:
    """Return what made the outputs of a notebook's JSON; None when that was not recorded."""
    own = notebook.get("metadata", {}).get("envtool")
    run = own.get("run") if isinstance(own, dict) else None
    if not isinstance(run, dict):
        return None
    parameters = run.get("parameters")
    return Origin(
        environment=_text(run, "environment"),
        lock=_text(run, "lock"),
        envtool=_text(run, "envtool"),
        python=_text(run, "python"),
        parameters=parameters if isinstance(parameters, dict) else {},
    )


def _text(run: Mapping[str, Any], key: str) -> str:
    found = run.get(key, "")
    return found if isinstance(found, str) else ""
