"""Data that Debian has below /usr: seen in an empty root, pointed to where a host lacks it."""

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.closed.conftest import InEmptyRoot
    from cli.conftest import Place, Run

EMPTY = ("--isolated", "--pure", "--no-network")
OWN = """
import curses, datetime, os, ssl, zoneinfo
curses.setupterm("xterm")
zone = zoneinfo.ZoneInfo("Europe/Vienna")
print(
    datetime.datetime(2024, 7, 1, tzinfo=zone).utcoffset(),
    len(zoneinfo.available_timezones()) > 300,
    len(ssl.create_default_context().get_ca_certs()) > 100,
    os.path.exists("/usr/share/zoneinfo/Europe/Vienna"),
)
"""
LOCALE = "import locale; print(locale.setlocale(locale.LC_ALL, 'C.UTF-8'))"
LIBRARIES = """
import ctypes, ctypes.util, magic
print(magic.from_buffer(b"%PDF-1.7"))
fonts = ctypes.CDLL("libfontconfig.so.1")
text = ctypes.c_char_p
fonts.FcNameParse.restype = fonts.FcFontMatch.restype = ctypes.c_void_p
fonts.FcConfigSubstitute.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
fonts.FcDefaultSubstitute.argtypes = [ctypes.c_void_p]
fonts.FcFontMatch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
fonts.FcPatternGetString.argtypes = [ctypes.c_void_p, text, ctypes.c_int, ctypes.c_void_p]
pattern = fonts.FcNameParse(b"sans-serif")
fonts.FcConfigSubstitute(None, pattern, 0)
fonts.FcDefaultSubstitute(pattern)
found, file = fonts.FcFontMatch(None, pattern, ctypes.byref(ctypes.c_int())), text()
fonts.FcPatternGetString(found, b"file", 0, ctypes.byref(file))
print(file.value.decode())
"""


@pytest.mark.namespaces
def test_the_interpreters_own_data_is_there(
    closed: "Run", place: "Place", in_empty_root: "InEmptyRoot"
) -> None:
    assert in_empty_root("-c", OWN) == "2:00:00 True True False"
    ended = closed("run", *EMPTY, "python", "-c", OWN)
    assert ended.stdout == "2:00:00 True True True\n", ended.stderr
    ended = closed("run", *EMPTY, "python", "-c", LOCALE)
    assert ended.stdout == "C.UTF-8\n", ended.stderr


@pytest.mark.namespaces
def test_libraries_find_their_data(
    closed: "Run", place: "Place", in_empty_root: "InEmptyRoot"
) -> None:
    names = json.dumps(["python-magic"])
    (place.project / "envtool.toml").write_text(
        'name = "demo"\npython = "3.11"\ninterpreter = "debian/bookworm"\n'
        f'dependencies = {names}\nlibraries = ["libfontconfig.so.1"]\n'
    )
    ended = closed("switch")
    assert ended.returncode == 0, ended.stderr
    ended = closed("run", *EMPTY, "python", "-c", LIBRARIES)
    said = ended.stdout.splitlines()
    assert said[0].startswith("PDF document"), ended.stderr
    assert said[1].startswith("/usr/share/fonts/"), ended.stderr
    # Where there is nothing but the store, variables lead there.
    said = in_empty_root("-c", LIBRARIES).splitlines()
    assert said[0].startswith("PDF document")
    assert said[1].startswith(f"{place.root}/store/")
    chains = json.loads(closed("why", "libmagic-mgc", "--json").stdout)["chains"]
    assert chains == [["python-magic", "libmagic1", "libmagic-mgc"]]
    assert (
        "libmagic1 (libmagic.so.1) -> libmagic-mgc (data)" in closed("why", "libmagic-mgc").stdout
    )
    text = (place.project / "pylock.toml").read_bytes()
    assert closed("lock", "--upgrade").returncode == 0
    assert (place.project / "pylock.toml").read_bytes() == text


def test_variables_of_the_user_and_data_of_the_host_go_first(closed: "Run", place: "Place") -> None:
    code = "import os; print(os.environ.get('TZDIR'), os.environ.get('SSL_CERT_FILE'))"
    assert closed("run", "python", "-c", code).stdout == "None None\n"
    ended = closed("run", "python", "-c", code, environ={"TZDIR": "/mine"})
    assert ended.stdout == "/mine None\n"
