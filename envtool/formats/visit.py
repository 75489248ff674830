"""What a prompt has entered and how it leaves again: the value of `ENVTOOL_HOOK`.

A shell whose prompt enters and leaves environments hands its variables to all that it starts,
other shells among them, and any of these may be the one that leaves. So the way back goes with the
variables: for each that was changed, what it was, or that it was not there.

    {"entered": "<what>", "before": {"GREETING": null, "PATH": "/usr/bin"},
     "lists": {"PATH": "/root/store/…/bin:/usr/bin"}}
"""

import json
from collections.abc import Iterable, Mapping

from envtool.formats.activation import EnvironmentChange, change
from envtool.values import value

__all__ = ["VARIABLE", "Visit", "enter", "parse", "transition"]

VARIABLE = "ENVTOOL_HOOK"


@value
class Visit:
    """An environment that was entered, and the variables that were there before."""

    entered: str
    """Says which one; equal to another's only if entering that would change nothing."""
    before: dict[str, str | None]
    """Each changed variable as it was; None: not there."""
    lists: dict[str, str]
    """Colon-separated lists among them, as they became."""

    def leave(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables as they were before.

        A list that somebody has changed meanwhile keeps what they did; only ours goes from it.
        """
        after = {name: text for name, text in environ.items() if name != VARIABLE}
        for name, old in self.before.items():
            text = old
            if name in self.lists and name in environ and environ[name] != self.lists[name]:
                text = self._without_ours(name, environ[name]) or None
            if text is None:
                after.pop(name, None)
            else:
                after[name] = text
        return after

    def _without_ours(self, name: str, listed: str) -> str:
        theirs = (self.before[name] or "").split(":")
        ours = {entry for entry in self.lists[name].split(":") if entry not in theirs}
        return ":".join(entry for entry in listed.split(":") if entry not in ours)


def enter(
    entered: str, before: Mapping[str, str], after: Mapping[str, str], lists: Iterable[str]
) -> dict[str, str]:
    """Return `after` with the way back to `before`; `lists` names the colon-separated ones."""
    changed = {name for name in (*before, *after) if before.get(name) != after.get(name)} - {
        VARIABLE
    }
    shape = {
        "entered": entered,
        "before": {name: before.get(name) for name in sorted(changed)},
        "lists": {name: after[name] for name in sorted(lists) if name in changed & after.keys()},
    }
    return {**after, VARIABLE: json.dumps(shape)}


def parse(environ: Mapping[str, str]) -> Visit | None:
    """Return what the variables say was entered; None when nothing, or nothing readable."""
    try:
        fields = json.loads(environ.get(VARIABLE, ""))
        visit = Visit(fields["entered"], dict(fields["before"]), dict(fields["lists"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = [visit.entered, *visit.before, *visit.lists, *visit.lists.values()]
    texts += [text for text in visit.before.values() if text is not None]
    return visit if all(isinstance(text, str) and "\0" not in text for text in texts) else None


def transition(before: Mapping[str, str], after: Mapping[str, str]) -> EnvironmentChange:
    """Return the change that leads from some variables to others and touches nothing else.

    Names that no shell could hold, such as those of bash's exported functions, are left alone.
    """
    return change(
        assign={n: text for n, text in after.items() if before.get(n) != text and _is_name(n)},
        unset=[name for name in before if name not in after and _is_name(name)],
    )


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()
