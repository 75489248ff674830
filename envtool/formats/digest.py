"""SHA-256 of little, such as names, declarations and derivations.

`hashlib` loads OpenSSL, which takes 2 ms: longer than most commands hash. The module that CPython
has for machines without OpenSSL is there at once. It is a fifth as fast, so that whatever may be
large is for `hashlib`, as in `envtool.formats.nix.nar`.
"""

TYPE_CHECKING = False

__all__ = ["LITTLE", "sha256"]

LITTLE = 1 << 17
"""Bytes from which on loading OpenSSL pays."""

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # CPython from 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:
            from hashlib import sha256
