"""What printed text says by chance: another run cannot repeat it, and nobody means it.

* addresses in memory (`at 0x7f12`);
* the number of the kernel's process, in the place that a warning names (`/tmp/ipykernel_815/27.py`);
* what a carriage return let be overwritten, and the times of tqdm's bars (`[00:03<00:01, 9.5it/s]`).
"""

import re

__all__ = ["without_chance"]

_CHANCE = (
    (re.compile(r"\bat 0x[0-9a-fA-F]+"), "at 0x…"),
    (re.compile(r"/ipykernel_\d+/"), "/ipykernel_…/"),
    (re.compile(r"\[[\d:]+<[\d:?]+, [^\[\]\n]{0,200}\]"), "[…]"),
)


def without_chance(text: str) -> str:
    """Return the text, what is by chance in it replaced by what every run has."""
    if "\r" in text:
        text = "\n".join(map(_last, text.replace("\r\n", "\n").split("\n")))
    for pattern, instead in _CHANCE:
        text = pattern.sub(instead, text)
    return text


def _last(line: str) -> str:
    """Return what is seen of a line at last; a return at its end overwrites nothing."""
    return line.rstrip("\r").rpartition("\r")[2]
