"""Which package index this host is set up for, by envtool's, uv's or pip's configuration."""

import os
from collections.abc import Iterator, Mapping

__all__ = ["configured_index"]

_VARIABLES = ("ENVTOOL_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
_SECTIONS = ("install", "global")
"""Of pip's configuration, the one that counts more first."""


def configured_index(environ: Mapping[str, str]) -> str | None:
    """Return the URL of the index the host is set up for; None when nothing says one.

    The first of `ENVTOOL_INDEX_URL`, `UV_DEFAULT_INDEX`, `UV_INDEX_URL`, `PIP_INDEX_URL` and
    `index-url` in pip's configuration files. A file that cannot be read says nothing.
    """
    for name in _VARIABLES:
        if value := environ.get(name, "").strip():
            return _url(value) if name.startswith("UV_") else value
    return next(filter(None, map(_index_of, _pip_files(environ))), None)


def _url(value: str) -> str:
    """Return the URL of what uv takes as `name=url` too."""
    name, separator, url = value.partition("=")
    return url if separator and name.replace("-", "").replace("_", "").isalnum() else value


def _pip_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Return pip's configuration files, the one that counts most first."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    if named:
        yield named
    home = environ.get("HOME", "")
    if user := environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield f"{user}/pip/pip.conf"
    if home:
        yield f"{home}/.pip/pip.conf"
    yield "/etc/pip.conf"
    for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
        yield f"{folder}/pip/pip.conf"


def _index_of(path: str) -> str | None:
    if not os.path.exists(path):
        return None
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    for section in _SECTIONS:
        for key in ("index-url", "index_url"):
            if value := parser.get(section, key, fallback="").strip():
                return value
    return None
