"""What packages open by name at run time (ctypes, cffi), which no ELF file of theirs says."""

from collections.abc import Mapping
from typing import Final

from envtool.values import value

__all__ = ["OPENED", "Opened"]


@value
class Opened:
    """A library that a package opens."""

    sonames: tuple[str, ...]
    """Any of them will do; the first is the one to get."""
    reason: str
    at_import: bool = True
    """The package cannot be imported without it; else only some of it does not work."""
    unless: tuple[str, ...] = ()
    """Packages that bring it: with one of them it is not needed."""


def _later(sonames: str, reason: str, *, unless: tuple[str, ...] = ()) -> Opened:
    return Opened(tuple(sonames.split()), reason, at_import=False, unless=unless)


def _needed(sonames: str, reason: str, *, unless: tuple[str, ...] = ()) -> Opened:
    return Opened(tuple(sonames.split()), reason, unless=unless)


_PANGO = "lays out text; opened by cffi at import"

OPENED: Final[Mapping[str, tuple[Opened, ...]]] = {
    "cairocffi": (_needed("libcairo.so.2", "draws; opened by cffi at import"),),
    "fusepy": (_needed("libfuse.so.2", "mounts; opened by ctypes at import"),),
    "ghostscript": (_needed("libgs.so.10 libgs.so.9", "interprets PostScript; ctypes at import"),),
    "glcontext": (
        _later("libGL.so.1", "draws; opened by name when a context is made"),
        _later("libX11.so.6", "speaks to the X server; opened by name when a context is made"),
        _later("libEGL.so.1", "draws without a window; opened by name"),
    ),
    "glfw": (
        _later("libX11.so.6", "speaks to the X server; opened by name when a window is made"),
        _later("libGL.so.1", "draws; opened by name when a window is made"),
    ),
    "jack-client": (
        _needed("libjack.so.0", "the sound server's client; opened by cffi at import"),
    ),
    "libarchive-c": (_needed("libarchive.so.13", "reads archives; opened by ctypes at import"),),
    "mpi4py": (
        _later("libmpi.so.40 libmpi.so.12", "the host's MPI, opened when mpi4py.MPI is imported"),
    ),
    "pangocffi": (_needed("libpango-1.0.so.0", _PANGO),),
    "psycopg": (
        _needed(
            "libpq.so.5",
            "PostgreSQL's client, opened by ctypes at import unless a compiled part brings it",
            unless=("psycopg-binary", "psycopg-c"),
        ),
    ),
    "pyenchant": (_needed("libenchant-2.so.2", "spells; opened by ctypes at import"),),
    "pyfluidsynth": (
        _needed("libfluidsynth.so.3 libfluidsynth.so.2", "a synthesiser; ctypes at import"),
    ),
    "pyglet": (_later("libGL.so.1", "draws; opened by ctypes when a window is made"),),
    "pylibdmtx": (_needed("libdmtx.so.0", "reads Data Matrix codes; opened by ctypes at import"),),
    "pyopengl": (_later("libGL.so.1", "draws; opened by ctypes when OpenGL.GL is imported"),),
    "pysdl2": (_later("libSDL2-2.0.so.0", "windows and sound; ctypes", unless=("pysdl2-dll",)),),
    "python-magic": (_needed("libmagic.so.1", "tells types of files; opened by ctypes at import"),),
    "python-vlc": (_needed("libvlc.so.5", "plays media; opened by ctypes at import"),),
    "pyudev": (_later("libudev.so.1", "lists devices; opened by ctypes when a context is made"),),
    "pyusb": (_later("libusb-1.0.so.0", "speaks to devices; opened by ctypes when one is sought"),),
    "pyzbar": (_needed("libzbar.so.0", "reads bar codes; opened by ctypes at import"),),
    "scapy": (_later("libpcap.so.0.8 libpcap.so.1", "filters packets; opened by ctypes at need"),),
    "sounddevice": (_needed("libportaudio.so.2", "plays and records; opened by cffi at import"),),
    "soundfile": (
        _needed("libsndfile.so.1", "reads sound; the wheel for any machine has none of its own"),
    ),
    "wand": (
        _needed(
            "libMagickWand-7.Q16.so.10 libMagickWand-6.Q16.so.6 libMagickWand-6.Q16.so.7",
            "ImageMagick, opened by ctypes when wand.image is imported",
        ),
    ),
    "vtk": (
        _later("libX11.so.6", "speaks to the X server; opened by name when a window is made"),
        _later("libXcursor.so.1", "cursors of a window; opened by name"),
        _later("libGL.so.1", "draws; opened by name when a window is made"),
        _later("libEGL.so.1", "draws without a window; opened by name"),
    ),
    "weasyprint": (
        _needed("libgobject-2.0.so.0", "objects that Pango is made of; opened by cffi at import"),
        _needed("libpango-1.0.so.0", _PANGO),
        _needed("libpangoft2-1.0.so.0", "sets fonts; opened by cffi at import"),
        _needed("libharfbuzz.so.0", "shapes text; opened by cffi at import"),
        _later("libharfbuzz-subset.so.0", "makes fonts in PDF files smaller; opened by cffi"),
        _needed("libfontconfig.so.1", "finds fonts; opened by cffi at import"),
    ),
    "xcffib": (_later("libxcb.so.1", "speaks to the X server; opened by cffi when connecting"),),
}
"""By normalised name of the package; known ones, others are for the declaration to tell."""
