"""Content addresses: what a `ca` field says, and the store path that it leads to.

A field is `text:sha256:…` (of the file, as of a `.drv`), `fixed:<algorithm>:…` (of the file) or
`fixed:r:<algorithm>:…` (of the NAR); Nix's `content-address.cc`. A path to which its own field
leads needs no signature: nobody can make other contents with that hash. But the field is a claim
like any other until the contents have been held against it.
"""

import re
from collections.abc import Collection
from typing import Literal

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import (
    STORE_DIR,
    StorePath,
    make_fixed_output,
    make_path,
    make_source,
)
from envtool.values import value

__all__ = ["ContentAddress", "parse"]

_FORM = re.compile(r"(text|fixed(?::r)?):([a-z0-9]+:.+)")


@value
class ContentAddress:
    """What a `ca` field says."""

    method: Literal["text", "fixed", "fixed:r"]
    content: Hash

    def leads_to(
        self, path: StorePath, references: Collection[StorePath], store_dir: str = STORE_DIR
    ) -> bool:
        """Return whether contents with this hash and these references lie at `path`.

        Only texts and trees with a SHA-256 can have references; only the latter to themselves.
        """
        others = {each for each in references if each != path}
        itself = path in references
        if self.method == "text":
            kind = ":".join(["text", *sorted(each.full(store_dir) for each in others)])
            return not itself and path == make_path(kind, self.content.base16, path.name, store_dir)
        if self.method == "fixed:r" and self.content.algorithm == "sha256":
            return path == make_source(
                path.name,
                self.content.digest,
                others,
                refers_to_itself=itself,
                store_dir=store_dir,
            )
        recursive = self.method == "fixed:r"
        return not references and path == make_fixed_output(
            path.name, self.content, recursive=recursive, store_dir=store_dir
        )


def parse(text: str) -> ContentAddress:
    """Return what a `ca` field says.

    :raises FormatError: it is of another form, or its hash is none that its form can have.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise FormatError(f"{text!r} is neither text:HASH nor fixed:HASH nor fixed:r:HASH")
    method: Literal["text", "fixed", "fixed:r"] = match[1]  # type: ignore[assignment]
    return ContentAddress(method, Hash.parse(match[2], "sha256" if method == "text" else None))
