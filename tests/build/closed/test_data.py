"""Data of libraries' packages, joined beside the libraries."""

from pathlib import Path
from typing import TYPE_CHECKING

from envtool.build.closed.data import join_data, pointers

if TYPE_CHECKING:
    from build.closed.conftest import Unpacked


def test_data_is_joined_and_what_administers_stays_behind(
    tmp_path: Path, unpacked: "Unpacked"
) -> None:
    one = unpacked(
        "one",
        "usr/share/one/data",
        "usr/share/doc/one/copyright",
        "usr/lib/one/table",
        "usr/lib/x86_64-linux-gnu/libone.so.1",
        "usr/lib/systemd/system/one.service",
        "usr/bin/one",
        "etc/one.conf",
        "etc/init.d/one",
        "lib/firm/ware",
        links={
            "usr/share/misc/absolute": "/usr/lib/one/table",
            "etc/alternatives/x": "/usr/bin/one",
            "etc/gone": "/var/lib/one",
        },
    )
    two = unpacked("two", "usr/share/one/more")
    target = tmp_path / "out"
    join_data([one, two], str(target))
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == {
        "usr/share/one/data",
        "usr/share/one/more",
        "usr/share/misc/absolute",
        "usr/lib/one/table",
        "usr/lib/firm/ware",
        "etc/one.conf",
    }
    assert (target / "usr/share/misc/absolute").readlink() == Path("../../lib/one/table")


def test_fonts_get_settings_that_hold_wherever_they_lie(
    tmp_path: Path, unpacked: "Unpacked"
) -> None:
    available = "usr/share/fontconfig/conf.avail"
    names = ("10-hinting-full.conf", "45-latin.conf", "70-no-bitmaps.conf")
    settings = unpacked("one", "etc/fonts/fonts.conf", *(f"{available}/{x}" for x in names))
    target = tmp_path / "out"
    join_data([settings, unpacked("two", "usr/share/fonts/a.ttf")], str(target))
    assert [path.name for path in (target / "etc/fonts/conf.d").iterdir()] == ["45-latin.conf"]
    assert (target / "etc/fonts/conf.d/45-latin.conf").read_text() == f"{available}/45-latin.conf"
    assert (
        '<dir prefix="relative">../../usr/share/fonts'
        in (target / "etc/fonts/envtool.conf").read_text()
    )


def test_variables_point_to_the_first_tree_that_has_something(
    tmp_path: Path, unpacked: "Unpacked"
) -> None:
    one = unpacked("one", "usr/share/misc/magic.mgc")
    two = unpacked("two", "usr/share/zoneinfo/UTC", "usr/share/misc/magic.mgc")
    coders = tmp_path / "one/lib/ImageMagick-7.1/modules-Q16/coders"
    coders.mkdir(parents=True)
    assert list(pointers([one, two], "x86_64-linux-gnu")) == [
        (
            "MAGICK_CODER_MODULE_PATH",
            str(coders),
            ("/usr/lib/x86_64-linux-gnu/ImageMagick-7.1/modules-Q16/coders",),
        ),
        ("MAGIC", f"{one}/usr/share/misc/magic.mgc", ()),
        ("TZDIR", f"{two}/usr/share/zoneinfo", ("/usr/share/zoneinfo",)),
    ]
