"""Data of libraries: what Debian's packages have below /usr/share and /etc for code to open.

It is joined beside the libraries, below `usr` and `etc`. Where the root is ours it is seen at the
very places (`machine.isolating.data`). Elsewhere those are the host's, and some of what a host may
lack can be pointed to by a variable: `pointers` says which, and the environment's Python sets it
when it starts, unless the host has its own or the user says otherwise.
"""

import os
import re
from collections.abc import Iterator, Sequence
from glob import escape as glob_escape
from glob import glob

from envtool.build.closed.joining import add, drop_dangling, merged, places

__all__ = ["join_data", "pointers"]

_KEPT = re.compile(r"usr/share/|etc/|usr/lib/[^/]+/").match
_LEFT = re.compile(
    r"usr/share/(?:doc|doc-base|man|info|locale|lintian|bug|gtk-doc|help|pkgconfig|cmake|aclocal|perl5?"
    r"|python3?|bash-completion|zsh|fish|apport|metainfo|applications|menu|gir-1\.0|debconf|ucf)/"
    r"|usr/lib/(?:[^/]+-linux-[^/]+|systemd|tmpfiles\.d|sysusers\.d|udev|modprobe\.d|python[^/]*|debug)/"
    r"|etc/(?:init\.d|rc.\.d|default|cron[^/]*|logrotate\.d|apparmor\.d|pam\.d|systemd|alternatives)/"
).match
_FONTS = "etc/fonts"
_FONTS_OWN = f"{_FONTS}/envtool.conf"
_FONTS_TEXT = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">fonts.conf</include>
  <dir prefix="relative">../../usr/share/fonts</dir>
</fontconfig>
"""
_ALIASES = re.compile(r"[3-6]\d-.*\.conf").fullmatch
"""Of fontconfig's own settings those that say which family stands for which: a maintainer script
would choose among them, and chooses these."""

_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_POINTERS: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("ALSA_CONFIG_PATH", "usr/share/alsa/alsa.conf", ("/usr/share/alsa/alsa.conf",)),
    ("FONTCONFIG_FILE", _FONTS_OWN, ("/etc/fonts/fonts.conf",)),
    ("FONTCONFIG_PATH", _FONTS, ("/etc/fonts/fonts.conf",)),
    ("LOCPATH", "usr/lib/locale", ("/usr/lib/locale",)),
    # Another version of the library refuses it: the host's would not do.
    ("MAGIC", "usr/share/misc/magic.mgc", ()),
    ("SSL_CERT_FILE", "usr/share/ca-certificates.crt", _CERTIFICATES),
    (
        "TERMINFO_DIRS",
        "usr/share/terminfo",
        ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"),
    ),
    ("TZDIR", "usr/share/zoneinfo", ("/usr/share/zoneinfo",)),
    ("XKB_CONFIG_ROOT", "usr/share/X11/xkb", ("/usr/share/X11/xkb",)),
    ("XLOCALEDIR", "usr/share/X11/locale", ("/usr/share/X11/locale",)),
)
"""Variable; what it points to in a tree; where a host has its own."""
_PLUGINS = (
    ("MAGICK_CODER_FILTER_PATH", "lib/ImageMagick-*/modules-*/filters"),
    ("MAGICK_CODER_MODULE_PATH", "lib/ImageMagick-*/modules-*/coders"),
)
"""Variable; pattern of a folder with what a library loads by itself."""


def join_data(trees: Sequence[str], target: str) -> None:
    """Add the data of unpacked .debs to the folder `target`.

    :raises BuildError: two of them have different files at one place.
    """
    links: list[str] = []
    for tree in trees:
        for place in places(tree, ""):
            inside = merged(place)
            if _KEPT(inside) and not _LEFT(inside):
                add(f"{tree}/{place}", place, f"{target}/{inside}", links)
    drop_dangling(links)
    if os.path.isfile(f"{target}/{_FONTS}/fonts.conf"):
        _complete_fonts(target)


def _complete_fonts(target: str) -> None:
    folder, available = f"{target}/{_FONTS}/conf.d", "usr/share/fontconfig/conf.avail"
    os.makedirs(folder, exist_ok=True)
    for name in sorted(os.listdir(f"{target}/{available}")):
        if _ALIASES(name) and not os.path.lexists(f"{folder}/{name}"):
            os.symlink(f"../../../{available}/{name}", f"{folder}/{name}")
    with open(f"{target}/{_FONTS_OWN}", "x", encoding="utf-8") as file:
        file.write(_FONTS_TEXT)


def pointers(trees: Sequence[str], multiarch: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield variables, what they point to in the first of the trees that has it, and host's places.

    A variable is to be set where none of the host's places is there.
    """
    for tree in trees:
        for variable, pattern in _PLUGINS:
            for path in sorted(glob(f"{glob_escape(tree)}/{pattern}"))[:1]:
                # Another version has another name, so that this is the host's of the same.
                yield variable, path, (f"/usr/lib/{multiarch}{path[len(tree) + len('/lib') :]}",)
    for variable, place, hosts in _POINTERS:
        for tree in trees:
            if os.path.exists(f"{tree}/{place}"):
                yield variable, f"{tree}/{place}", hosts
                break
