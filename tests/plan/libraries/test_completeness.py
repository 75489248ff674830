"""Who provides what wheels need: libraries of every sort, with the real loader as judge."""

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from envtool.machine.libraries import Libraries, libraries_of
from envtool.plan.libraries.completeness import Contents, Need, is_driver, judge, lacks
from envtool.plan.libraries.reading import Unpacked, read_wheels
from envtool.sources.binaries import Binary, in_folder, read_file
from envtool.sources.opened import OPENED, Opened

pytestmark = pytest.mark.programs("gcc")
RPATH, RUNPATH = "-Wl,--disable-new-dtags,-rpath,", "-Wl,--enable-new-dtags,-rpath,"
ABSENT = "libwhat_nobody_has.so.7"


@dataclass
class Site:
    """Wheels as they are joined in one site-packages."""

    folder: Path
    requires: dict[str, tuple[str, ...]] = field(default_factory=dict)
    opens: dict[str, tuple[Opened, ...]] = field(default_factory=dict)

    def library(
        self,
        place: str,
        *flags: str,
        needs: Sequence[str] = (),
        soname: str | None = None,
        version: str | None = None,
    ) -> str:
        """Compile a library at a place and return that; `needs` are sonames."""
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        source = path.with_suffix(".c")
        source.write_text(f"int f{abs(hash(place))}(void) {{ return 1; }}\n")
        stubs = [self._stub(name) for name in needs]
        own = [f"-Wl,-soname,{soname}"] if soname else []
        if version:
            script = path.with_suffix(".map")
            script.write_text(f"{version} {{ global: f*; }};\n")
            own.append(f"-Wl,--version-script,{script}")
        command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed", *own, *flags]
        subprocess.run([*command, source, *stubs, "-o", path], check=True)
        source.unlink()
        return place

    def _stub(self, soname: str) -> Path:
        """Return an empty library to link with, which goes by a soname."""
        path = self.folder.parent / "stubs" / f"{soname}.stub"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{soname}", "-xc", "/dev/null"]
            subprocess.run([*command, "-o", path], check=True)
        return path

    def judge(self, machine: Libraries | None = None) -> tuple[Need, ...]:
        """Judge the wheels: each top-level folder is one, with its `.libs`."""
        wheels = [
            Contents(
                name,
                tuple(
                    each
                    for each in in_folder(str(self.folder.parent))
                    if each.place.split("/")[1].partition(".")[0] == name
                ),
                self.requires.get(name, ()),
                self.opens.get(name, ()),
            )
            for name in sorted({path.name.partition(".")[0] for path in self.folder.iterdir()})
        ]
        return judge(wheels, machine or host())

    def who(self, soname: str) -> str:
        """Return who provides the one need of a name."""
        (need,) = (each for each in self.judge() if each.soname == soname)
        return need.provider

    def loads(self, place: str) -> bool:
        """Say whether the real loader loads a library in a fresh Python."""
        code = f"import ctypes; ctypes.CDLL({str(self.folder / place)!r})"
        command = [sys.executable, "-I", "-S", "-c", code]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def host() -> Libraries:
    return libraries_of(sys.executable, {}, store="/nowhere")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "site-packages").mkdir()
    return Site(tmp_path / "site-packages")


def test_a_library_of_the_machine_is_found(site: Site) -> None:
    place = site.library("a/a.so", needs=["libm.so.6"])
    assert site.who("libm.so.6") == "machine"
    assert site.loads(place)


def test_what_nobody_has_is_lacking(site: Site) -> None:
    place = site.library("a/a.so", needs=[ABSENT])
    (lack,) = lacks(site.judge())
    assert (lack.wheel, lack.file, lack.soname) == ("a", "site-packages/a/a.so", ABSENT)
    assert lack.essential
    assert not site.loads(place)


@pytest.mark.parametrize("kind", [RPATH, RUNPATH])
def test_a_library_beside_is_found_by_either_path(site: Site, kind: str) -> None:
    site.library("a.libs/libb.so.1", soname="libb.so.1")
    place = site.library("a/a.so", f"{kind}$ORIGIN/../a.libs", needs=["libb.so.1"])
    assert site.who("libb.so.1") == "own"
    assert site.loads(place)


def test_a_path_that_climbs_leads_into_another_wheel(site: Site) -> None:
    site.library("b/lib/libb.so.1", soname="libb.so.1")
    place = site.library("a/sub/a.so", f"{RUNPATH}$ORIGIN/../../b/lib", needs=["libb.so.1"])
    assert site.who("libb.so.1") == "other"
    assert site.loads(place)


@pytest.mark.parametrize(("kind", "provider"), [(RPATH, "own"), (RUNPATH, "loaded")])
def test_only_rpath_counts_for_what_a_needed_library_needs(
    site: Site, kind: str, provider: str
) -> None:
    site.library("a.libs/libc1.so", soname="libc1.so")
    site.library("a.libs/libb.so.1", soname="libb.so.1", needs=["libc1.so"])
    place = site.library("a/a.so", f"{kind}$ORIGIN/../a.libs", needs=["libb.so.1"])
    assert site.who("libc1.so") == provider
    assert site.loads(place) == (provider == "own")


def test_a_runpath_shuts_out_the_rpath_of_who_needs_it(site: Site) -> None:
    site.library("a.libs/libc1.so", soname="libc1.so")
    needs = ["libc1.so"]
    site.library("a.libs/libb.so.1", f"{RUNPATH}/x", soname="libb.so.1", needs=needs)
    place = site.library("a/a.so", f"{RPATH}$ORIGIN/../a.libs", needs=["libb.so.1"])
    assert site.who("libc1.so") == "loaded"  # by the wheel itself, if it does so beforehand
    assert not site.loads(place)


def test_what_is_loaded_already_will_do(site: Site) -> None:
    site.library("a.libs/libc1.so", soname="libc1.so")
    site.library("a.libs/libb.so.1", f"{RUNPATH}/x", soname="libb.so.1", needs=["libc1.so"])
    needs = ["libc1.so", "libb.so.1"]
    place = site.library("a/a.so", f"{RPATH}$ORIGIN/../a.libs", needs=needs)
    assert [each.provider for each in site.judge() if each.soname == "libc1.so"] == ["own"] * 2
    assert site.loads(place)


def test_a_library_of_a_required_package_counts_as_loaded_with_it(site: Site) -> None:
    site.library("b/lib/libb.so.1", soname="libb.so.1")
    site.library("a/a.so", needs=["libb.so.1"])
    assert site.who("libb.so.1") == "nothing"
    site.requires["a"] = ("b",)
    assert site.who("libb.so.1") == "loaded"


def test_a_version_that_the_library_does_not_have_is_lacking(site: Site, tmp_path: Path) -> None:
    soname, stub = "libv.so.1", tmp_path / "stubs"
    site.library("old/libv.so.1", soname=soname, version="V_1.9")
    site.library("new/libv.so.1", soname=soname, version="V_1.10")
    stub.mkdir()
    (site.folder / "new").rename(stub / "new")
    (stub / "use.c").write_text(f"int f{abs(hash('new/libv.so.1'))}(void); int g(void)")
    with open(stub / "use.c", "a") as file:
        file.write(f" {{ return f{abs(hash('new/libv.so.1'))}(); }}\n")
    (site.folder / "a").mkdir()
    path = [f"{RPATH}$ORIGIN/../old", stub / "use.c", stub / "new/libv.so.1"]
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", *map(str, path)]
    subprocess.run([*command, "-o", str(site.folder / "a/a.so")], check=True)
    (lack,) = lacks(site.judge())
    assert (lack.soname, lack.version, lack.newest) == (soname, "V_1.10", "V_1.9")
    assert lack.by == "site-packages/old/libv.so.1"
    with pytest.raises(OSError, match=r"version `V_1\.10' not found"):
        ctypes.CDLL(str(site.folder / "a/a.so"))


def test_a_plugin_of_a_wheel_with_modules_is_not_essential(site: Site) -> None:
    site.library("a/a.abi3.so")
    site.library("a/plugins/libp.so", needs=[ABSENT])
    (lack,) = lacks(site.judge())
    assert not lack.essential


def test_a_plugin_of_a_wheel_that_modules_of_others_load_is_not_essential(site: Site) -> None:
    site.library("qt/lib/libcore.so.6", soname="libcore.so.6")
    site.library("qt/plugins/libsql.so", needs=[ABSENT])
    site.library("py/core.abi3.so", f"{RPATH}$ORIGIN/../qt/lib", needs=["libcore.so.6"])
    (lack,) = lacks(site.judge())
    assert (lack.wheel, lack.essential) == ("qt", False)


def test_a_library_that_only_code_can_open_is_essential(site: Site) -> None:
    site.library("boost/lib/libboost.so", needs=[ABSENT])
    (lack,) = lacks(site.judge())
    assert lack.essential


def test_libraries_that_need_each_other_are_judged_once(site: Site) -> None:
    flags = f"{RPATH}$ORIGIN"
    site.library("a/liba1.so", flags, soname="liba1.so", needs=["liba2.so", ABSENT])
    site.library("a/liba2.so", flags, soname="liba2.so", needs=["liba1.so"])
    assert [each.soname for each in lacks(site.judge())] == [ABSENT]
    assert [each.provider for each in site.judge()].count("own") == 2


def test_what_is_opened_by_name_is_sought_in_wheels_then_on_the_machine(site: Site) -> None:
    site.library("a/_data/libown_x86_64.so")
    site.opens["a"] = tuple(
        Opened((name,), "a test") for name in ("libown.so.1", "libm.so.6", ABSENT)
    )
    found = {each.soname: each.provider for each in site.judge() if each.file is None}
    assert found == {"libown.so.1": "own", "libm.so.6": "machine", ABSENT: "nothing"}


def test_a_library_path_of_the_environment_goes_before_the_machine(
    site: Site, tmp_path: Path
) -> None:
    site.library("a/a.so", needs=["libw.so.1"])
    elsewhere = Site(tmp_path / "elsewhere" / "site-packages")
    elsewhere.library("libw.so.1", soname="libw.so.1")
    environ = {"LD_LIBRARY_PATH": str(elsewhere.folder)}
    (need,) = site.judge(libraries_of(sys.executable, environ, store="/nowhere"))
    assert need.by == str(elsewhere.folder / "libw.so.1")


def test_a_program_with_a_loader_of_the_store_sees_nothing_of_the_machine(site: Site) -> None:
    elf = read_file(os.path.realpath(sys.executable))
    assert elf is not None
    assert elf.interpreter is not None
    site.library("a/a.so", needs=["libexpat.so.1", "libc.so.6"])
    loader = os.path.dirname(elf.interpreter)
    needs = site.judge(libraries_of(sys.executable, {}, store=loader))
    assert {need.soname for need in lacks(needs)} == {"libexpat.so.1", "libc.so.6"}


def test_a_wheels_program_looks_where_our_own_loader_is_told_to(site: Site, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    library = str(site.folder / site.library("b/libb.so.1", soname="libb.so.1"))
    (site.folder / "a").mkdir()
    flags = ["-Wl,--no-as-needed", library, f"{RUNPATH}$ORIGIN", "-o", f"{site.folder}/a/run"]
    subprocess.run(["gcc", f"{tmp_path}/main.c", *flags], check=True)
    (program,) = (each for each in in_folder(str(tmp_path)) if each.place.endswith("/a/run"))
    assert program.elf.interpreter is not None
    name = os.path.basename(program.elf.interpreter)

    def read(loader: str) -> list[Binary]:
        (wheel,) = read_wheels([Unpacked("a", str(tmp_path), ())], loader=loader)
        return [each for each in wheel.binaries if each.place == program.place]

    assert read("/store/ld-other.so.1") == []
    (kept,) = read(f"/store/{name}")
    assert kept.elf.dynamic is not None
    assert (kept.elf.dynamic.runpath, kept.elf.dynamic.rpath) == (None, ("$ORIGIN",))

    beside = (os.path.dirname(library), os.path.dirname(read_of_libc()))
    own = Libraries(os.path.realpath(sys.executable), beside=beside, starts_programs=True)
    assert lacks(judge([Contents("a", (kept,))], own)) == ()
    (lack,) = lacks(judge([Contents("a", (program,))], host()))
    assert lack.soname == "libb.so.1"


def test_drivers_are_known_by_name() -> None:
    assert is_driver("libcuda.so.1")
    assert is_driver("libnvidia-ml.so.1")
    assert not is_driver("libcudart.so.12")


def test_the_table_of_what_is_opened_is_by_normalised_names_and_sonames() -> None:
    for name, opened in OPENED.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        for each in opened:
            assert all(re.fullmatch(r"lib[\w.+-]+\.so(\.\d+)*", one) for one in each.sonames)
            assert each.reason


def test_real_libraries_of_the_host_lack_what_ldd_does_not_find() -> None:
    """Whole trees of libraries, as the real loader finds them by the cache of this machine."""
    folder = Path(read_of_libc()).parent
    paths = sorted(path for path in folder.glob("lib*.so.*") if path.is_file())[::12][:60]
    wheels = [Contents(path.name, in_place(path)) for path in paths]
    found = judge([each for each in wheels if each.binaries], host())
    lacking = {(need.wheel, need.soname) for need in lacks(found) if need.version is None}
    for wheel in wheels:
        real = folder / wheel.name
        shown = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        dynamic = wheel.binaries[0].elf.dynamic if wheel.binaries else None
        direct = set(dynamic.needed) if dynamic else set()
        missing = set(re.findall(r"^\t(\S+) => not found", shown, re.MULTILINE)) & direct
        assert {name for each, name in lacking if each == wheel.name} == missing


def in_place(path: Path) -> tuple[Binary, ...]:
    elf = read_file(str(path))
    return (Binary(f"site-packages/{path.name}", elf),) if elf else ()


def read_of_libc() -> str:
    maps = Path("/proc/self/maps").read_text()
    found = re.search(r"(/\S+/libc\.so\.6)$", maps, re.MULTILINE)
    assert found is not None
    return found[1]
