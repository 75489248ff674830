"""Repairing: what is damaged is made again, in one step, and only if it is what it was."""

import hashlib
import os
import platform
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.generation import add_generation
from envtool.build.realise import realise
from envtool.build.repair import Outcome, repair
from envtool.formats.generation import Record
from envtool.formats.lock import Artifact, Lock, LockedPackage, LockedPython, render
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.database import PathInfo
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.mending.verify import verify
from envtool.machine.metadata import delete_tree
from envtool.machine.profile import profile_of
from envtool.machine.sharing.optimise import optimise
from envtool.machine.store import Store
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter
from envtool.values import replace

if TYPE_CHECKING:
    from build.conftest import Environment, Environments
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


def selected(wheel: Path, *, url: str | None = None) -> Selected:
    """Return the package of a wheel as a lock pins it, at a URL or where it lies."""
    content, path = wheel.read_bytes(), None if url else str(wheel)
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(wheel.name, url, path, len(content), digest)
    name, version = wheel.name.split("-")[:2]
    return Selected(LockedPackage(name, version, None, wheels=(artifact,), direct=True), artifact)


def spoil(place: Path, text: str = "# damaged\n") -> None:
    """Write into a file of the store in place; only its contents tell."""
    mode = stat.S_IMODE(place.stat().st_mode)
    place.chmod(0o644)
    place.write_text(text)
    place.chmod(mode)
    os.utime(place, (1, 1))


def repaired(store: Store, *originals: Path) -> list[Outcome]:
    problems = verify(store, contents=True)
    assert problems
    return repair(store, problems, SilentReporter(), originals=[str(each) for each in originals])


def assert_whole(store: Store) -> None:
    assert verify(store, contents=True) == []


def told(outcomes: list[Outcome]) -> dict[str, str | None]:
    """Return what was done by the name of the object."""
    return {StorePath(each.problem.name).name: each.done for each in outcomes}


@pytest.fixture
def demo(environments: "Environments", make_wheel: "MakeWheel") -> "Environment":
    return environments.of(make_wheel("alpha"), make_wheel("beta"))


def object_of(demo: "Environment", store: Store, name: str) -> Path:
    outputs = [each.output_path() for each in demo.made.derivations.values()]
    (found,) = (path for path in outputs if path.name == name)
    return Path(store.physical(found))


@pytest.mark.parametrize(
    ("name", "below", "done"),
    [
        ("alpha-1.0-py3-none-any.whl", "", "fetched again"),
        ("alpha-1.0", "site-packages/alpha.py", "unpacked again"),
        ("alpha-1.0", "wheel.json", "unpacked again"),
        ("demo-env", "pyvenv.cfg", "composed again"),
    ],
)
def test_damaged_object_is_made_again(
    name: str, below: str, done: str, demo: "Environment", store: Store
) -> None:
    spoil(object_of(demo, store, name) / below if below else object_of(demo, store, name))
    assert told(repaired(store)) == {name: done}
    assert_whole(store)
    assert demo.python("import alpha; print(alpha.VERSION)") == "1.0"


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("alpha-1.0-py3-none-any.whl", "fetched again"),
        ("alpha-1.0", "unpacked again"),
        ("demo-env", "composed again"),
    ],
)
def test_missing_object_is_made_again(
    name: str, done: str, demo: "Environment", store: Store
) -> None:
    delete_tree(str(object_of(demo, store, name)))
    assert told(repaired(store)) == {name: done}
    assert_whole(store)
    assert demo.python("import beta; print(beta.VERSION)") == "1.0"


def test_interpreter_is_made_again(demo: "Environment", store: Store) -> None:
    (place,) = Path(store.settings.store).glob("*-host")
    spoil(place / "interpreter.json", "{}")
    assert set(told(repaired(store)).values()) == {"made again"}
    assert_whole(store)


def test_everything_damaged_at_once_is_made_again_inputs_first(
    demo: "Environment", store: Store
) -> None:
    whole = {path: info.nar_hash for path, info in store.database.infos().items()}
    for path in whole:
        if not path.endswith(".drv"):
            place = Path(store.physical(path))
            files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
            spoil(next(file for file in files if not file.is_symlink()))
    outcomes = repaired(store)
    assert [each.reason for each in outcomes if each.done is None] == []
    assert {path: info.nar_hash for path, info in store.database.infos().items()} == whole
    assert_whole(store)
    assert demo.python("import alpha; print(alpha.VERSION)") == "1.0"


def test_wheel_that_was_collected_is_fetched_to_unpack_again(
    demo: "Environment", store: Store
) -> None:
    wheel = StorePath(object_of(demo, store, "alpha-1.0-py3-none-any.whl").name)
    store.database.delete([wheel])
    delete_tree(store.physical(wheel))
    spoil(object_of(demo, store, "alpha-1.0") / "site-packages/alpha.py")
    assert told(repaired(store)) == {"alpha-1.0": "unpacked again"}
    assert_whole(store)


def test_only_a_damaged_package_is_asked_for_and_its_damaged_wheel_is_found(
    demo: "Environment", store: Store
) -> None:
    package = object_of(demo, store, "alpha-1.0")
    spoil(package / "site-packages/alpha.py")
    spoil(object_of(demo, store, "alpha-1.0-py3-none-any.whl"))
    problems = verify(store, contents=True, paths=[StorePath(package.name)])
    assert len(problems) == 1
    done = told(repair(store, problems, SilentReporter()))
    assert done == {"alpha-1.0": "unpacked again", "alpha-1.0-py3-none-any.whl": "fetched again"}
    assert_whole(store)


def test_derivation_file_is_not_made_of_nothing(demo: "Environment", store: Store) -> None:
    (path,) = (drv for drv in demo.made.derivations if drv.name == "alpha-1.0.drv")
    spoil(Path(store.physical(path)))
    (outcome,) = repaired(store)
    assert outcome.done is None
    assert f"no generation leads to {path}" in outcome.reason


def test_object_whose_source_is_gone_is_left_as_it_is(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    wheel = make_wheel("alpha")
    demo = environments.of(wheel)
    wheel.unlink()
    place = object_of(demo, store, "alpha-1.0-py3-none-any.whl")
    spoil(place)
    (outcome,) = repaired(store)
    assert outcome.done is None
    assert str(wheel) in outcome.reason
    assert place.read_text() == "# damaged\n"
    assert [name for name in os.listdir(store.settings.store) if "scratch" in name] == []


def test_what_comes_out_different_does_not_replace_what_is_damaged(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    demo = environments.of(make_wheel("alpha"))
    place = object_of(demo, store, "alpha-1.0")
    info = store.info(StorePath(place.name))
    wrong = replace(info, nar_hash=store.info(demo.output).nar_hash)
    store.database.correct(wrong)
    before = os.lstat(place)
    (outcome,) = repaired(store)
    assert (outcome.done, outcome.reason) == (
        None,
        "unpacked again, it is not what was registered",
    )
    assert outcome.hint is not None
    assert f"mv {place} {place}.damaged" in outcome.hint
    assert os.path.samestat(os.lstat(place), before)


def misregister(store: Store, path: StorePath, demo: "Environment") -> PathInfo:
    """Let an object's row have the hash of another one; return what it was."""
    info = store.info(path)
    store.database.correct(replace(info, nar_hash=store.info(demo.output).nar_hash))
    return info


def test_build_that_comes_out_different_takes_the_place_of_one_that_is_gone(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    demo = environments.of(make_wheel("alpha"))
    place = object_of(demo, store, "alpha-1.0")
    misregister(store, StorePath(place.name), demo)
    delete_tree(str(place))
    (outcome,) = repaired(store)
    assert outcome.done == "unpacked again, with other contents than before"
    assert_whole(store)


def test_realising_what_is_gone_registers_what_it_is_now(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    demo = environments.of(make_wheel("alpha"))
    place = object_of(demo, store, "alpha-1.0")
    misregister(store, StorePath(place.name), demo)
    delete_tree(str(place))
    environments.realise(demo.made)
    assert_whole(store)


def test_row_that_is_wrong_about_what_proves_itself_is_corrected(
    demo: "Environment", store: Store
) -> None:
    path = StorePath(object_of(demo, store, "alpha-1.0-py3-none-any.whl").name)
    info = misregister(store, path, demo)
    (outcome,) = repaired(store)
    assert outcome.done == "registered as what it is, since it proves itself"
    assert store.info(path) == info


# -- modes and owners


def test_modes_and_times_are_put_right(demo: "Environment", store: Store) -> None:
    place = object_of(demo, store, "alpha-1.0")
    (place / "site-packages").chmod(0o755)
    (place / "wheel.json").chmod(0o600)
    os.utime(place / "wheel.json", (1 << 33, 1 << 33))
    assert told(repaired(store)) == {"alpha-1.0": "put right"}
    assert_whole(store)


def test_object_that_is_changed_and_open_to_all_is_made_again_once(
    demo: "Environment", store: Store
) -> None:
    place = object_of(demo, store, "alpha-1.0") / "wheel.json"
    place.chmod(0o666)
    place.write_text("{}")
    done = [(each.problem.kind, each.done) for each in repaired(store)]
    assert done == [("changed", "unpacked again"), ("metadata", "put right")]
    assert_whole(store)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_owner_is_put_right_by_root(demo: "Environment", store: Store) -> None:
    os.chown(object_of(demo, store, "alpha-1.0") / "wheel.json", 12345, -1)
    assert told(repaired(store)) == {"alpha-1.0": "put right"}
    assert_whole(store)


# -- sources


@pytest.fixture
def source(store: Store, tmp_path: Path) -> tuple[StorePath, Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("precious")
    return store.add_tree(str(folder), "data"), folder


@pytest.mark.parametrize("how", ["spoil", "delete"])
def test_source_that_nothing_can_make_again_is_told_with_what_to_do(
    how: str, store: Store, source: tuple[StorePath, Path]
) -> None:
    path, _ = source
    if how == "spoil":
        spoil(Path(store.physical(path), "file"))
    else:
        delete_tree(store.physical(path))
    (outcome,) = repaired(store)
    assert (outcome.done, outcome.reason) == (None, "nothing is known that it could be made from")
    assert outcome.hint == (
        f"if you have the original: envtool store verify --repair --from FILE {path}"
    )


def test_source_is_copied_again_from_the_original_and_from_nothing_else(
    store: Store, source: tuple[StorePath, Path], tmp_path: Path
) -> None:
    path, original = source
    spoil(Path(store.physical(path), "file"))
    other = tmp_path / "other"
    other.mkdir()
    (outcome,) = repaired(store, other)
    assert outcome.done is None
    assert "copied again from" in outcome.reason
    assert "not what was registered" in outcome.reason
    (outcome,) = repaired(store, other, original)
    assert outcome.done == f"copied again from {original}"
    assert_whole(store)


# -- generations


@pytest.fixture
def generation(demo: "Environment", store: Store, tmp_path: Path) -> StorePath:
    """Link a generation of the environment from a profile, as `switch` does."""
    return made_generation(store, demo, tmp_path / "project", "# one\n")


def made_generation(
    store: Store, demo: "Environment", project: Path, declaration: str
) -> StorePath:
    project.mkdir(exist_ok=True)
    wheels = sorted((project.parent / "wheels").glob("*.whl"))
    packages = tuple(selected(wheel).package for wheel in wheels)
    version = platform.python_version()
    python = LockedPython(version.rpartition(".")[0], "cpython", "")
    lock = Lock(python=python, packages=packages, builds=(), declaration="d" * 64)
    record = Record(
        name="demo",
        environment=demo.output,
        python=version,
        impure=True,
        kind="envtool.toml",
        declaration_sha256=hashlib.sha256(declaration.encode()).hexdigest(),
        lock_digest="d" * 64,
        variables={},
        hook=None,
        kernel=None,
        packages=[],
    )
    path = add_generation(store, record, declaration, render(lock))
    profile_of(store.settings, str(project / "envtool.toml"), "default").set(path)
    return path


def test_derivation_file_is_written_again_from_the_lock_of_a_generation(
    demo: "Environment", generation: StorePath, store: Store
) -> None:
    assert store.is_valid(generation)
    for drv in demo.made.derivations:
        delete_tree(store.physical(drv))
    outcomes = repaired(store)
    assert {each.done for each in outcomes} == {"written again"}
    assert len(outcomes) == len(demo.made.derivations)
    assert_whole(store)


def test_package_is_made_again_although_its_derivation_file_is_damaged_too(
    demo: "Environment", generation: StorePath, store: Store
) -> None:
    assert store.is_valid(generation)
    (drv,) = (drv for drv in demo.made.derivations if drv.name == "alpha-1.0.drv")
    spoil(Path(store.physical(drv)))
    spoil(object_of(demo, store, "alpha-1.0") / "wheel.json")
    done = told(repaired(store))
    assert done == {"alpha-1.0.drv": "written again", "alpha-1.0": "unpacked again"}
    assert_whole(store)


def test_generation_is_put_together_from_the_texts_of_others(
    demo: "Environment", generation: StorePath, store: Store, tmp_path: Path
) -> None:
    second = made_generation(store, demo, tmp_path / "project", "# two\n")
    assert second != generation
    (tmp_path / "project" / "envtool.toml").write_text("# two\n")
    spoil(Path(store.physical(second), "pylock.toml"))
    spoil(Path(store.physical(second), "declaration"))
    assert told(repaired(store)) == {"demo-generation": "put together again"}
    assert_whole(store)


def test_generation_whose_texts_are_lost_is_told(generation: StorePath, store: Store) -> None:
    spoil(Path(store.physical(generation), "declaration"))
    (outcome,) = repaired(store)
    assert outcome.done is None
    assert f"the texts of {generation} are found nowhere" in outcome.reason


def test_generation_is_realised_again_when_the_database_lost_its_whole_closure(
    demo: "Environment", generation: StorePath, store: Store
) -> None:
    store.close()
    os.unlink(store.settings.database)
    (outcome,) = repaired(store)
    assert (outcome.problem.kind, outcome.done) == ("dangling", "put together again")
    assert store.is_valid(generation)
    assert {problem.kind for problem in verify(store, contents=True)} <= {"unknown"}
    assert demo.python("import alpha; print(alpha.VERSION)") == "1.0"


def test_root_that_leads_to_nothing_that_is_known_is_told(store: Store, tmp_path: Path) -> None:
    gone = make_text("gone", b"")
    profile_of(store.settings, str(tmp_path / "envtool.toml"), "default").set(gone)
    (outcome,) = repaired(store)
    assert (outcome.problem.kind, outcome.done) == ("dangling", None)
    assert outcome.hint is not None
    assert "envtool switch" in outcome.hint


# -- files with several names


@pytest.fixture
def twins(environments: "Environments", make_wheel: "MakeWheel", store: Store) -> "Environment":
    """Realise two packages with a file in common, which is one file on the disk."""
    text = "common = 1\n" * 100
    wheels = [make_wheel(name, files={f"{name}.py": text}) for name in ("alpha", "beta")]
    demo = environments.of(*wheels)
    optimise(store, SilentReporter())
    assert os.path.samefile(*shared_files(demo, store))
    return demo


def shared_files(demo: "Environment", store: Store) -> list[Path]:
    return [
        object_of(demo, store, f"{name}-1.0") / f"site-packages/{name}.py"
        for name in ("alpha", "beta")
    ]


def test_damage_that_two_objects_share_is_repaired_in_both_and_in_the_links(
    twins: "Environment", store: Store
) -> None:
    alpha, beta = shared_files(twins, store)
    damaged = os.lstat(alpha)
    spoil(alpha)
    path = StorePath(object_of(twins, store, "alpha-1.0").name)
    problems = verify(store, contents=True, paths=[path])
    done = told(repair(store, problems, SilentReporter()))
    assert done == {"alpha-1.0": "unpacked again", "beta-1.0": "unpacked again"}
    assert_whole(store)
    names = [alpha, beta, *Path(store.settings.store, ".links").iterdir()]
    assert not any(os.path.samestat(os.lstat(name), damaged) for name in names)
    assert optimise(store, SilentReporter()).damaged == 0


def test_source_that_shares_a_damaged_file_with_a_package_is_mended_from_it(
    environments: "Environments", make_wheel: "MakeWheel", store: Store, tmp_path: Path
) -> None:
    text = "common = 1\n" * 100
    demo = environments.of(make_wheel("alpha", files={"alpha.py": text}))
    folder = tmp_path / "source/sub"
    folder.mkdir(parents=True)
    (folder / "copy.py").write_text(text)
    (folder / "other.py").write_text("other")
    path = store.add_tree(str(tmp_path / "source"), "source")
    optimise(store, SilentReporter())
    spoil(object_of(demo, store, "alpha-1.0") / "site-packages/alpha.py")
    done = told(repaired(store))
    assert done == {
        "alpha-1.0": "unpacked again",
        "source": "mended from an object that shared the damaged file",
    }
    assert Path(store.physical(path), "sub/copy.py").read_text() == text
    assert_whole(store)


# -- while it is used


def test_running_process_keeps_the_files_that_it_has_open(
    demo: "Environment", store: Store
) -> None:
    module = object_of(demo, store, "alpha-1.0") / "site-packages/alpha.py"
    spoil(module, "VERSION = 'damaged'\n")
    code = (
        "import sys, alpha; file = open(alpha.__file__); print('ready', flush=True);"
        "sys.stdin.readline(); print(file.read().strip()); import beta; print(beta.VERSION);"
        "print(open(alpha.__file__).read().strip())"
    )
    child = subprocess.Popen(
        [demo.path / "bin/python", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert told(repaired(store)) == {"alpha-1.0": "unpacked again"}
    out, _ = child.communicate("\n")
    assert out.splitlines() == ["VERSION = 'damaged'", "1.0", "VERSION = '1.0'"]


def test_two_who_repair_at_once_both_succeed(demo: "Environment", store: Store) -> None:
    spoil(object_of(demo, store, "alpha-1.0") / "wheel.json")
    problems = verify(store, contents=True)
    with Store(store.settings) as other:
        assert told(repair(other, problems, SilentReporter())) == {"alpha-1.0": "unpacked again"}
    assert told(repair(store, problems, SilentReporter())) == {
        "alpha-1.0": "repaired by somebody else"
    }
    assert_whole(store)


# -- a judge from outside


def nix_complains(store: Store) -> tuple[bool, set[str]]:
    """Return whether a real Nix finds anything wrong, and which store paths it names."""
    store.close()
    settings = store.settings
    where = f"local?store=/envtool/store&real={settings.store}&state={settings.state}"
    done = subprocess.run(
        ["nix-store", "--verify", "--check-contents", "--store", f"{where}&log={settings.logs}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NIX_CONFIG": "build-users-group ="},
    )
    return done.returncode != 0, set(re.findall("/envtool/store/([^' ]+)", done.stderr))


@pytest.mark.programs("nix-store")
def test_real_nix_finds_the_same_damage_before_and_none_after(
    demo: "Environment", store: Store
) -> None:
    assert nix_complains(store) == (False, set())
    for name, below in {"alpha-1.0": "wheel.json", "demo-env": "pyvenv.cfg"}.items():
        spoil(object_of(demo, store, name) / below)
    spoil(object_of(demo, store, "beta-1.0-py3-none-any.whl"))
    found = {problem.name for problem in verify(store, contents=True)}
    assert len(found) == 3
    assert nix_complains(store) == (True, found)
    assert {each.done is None for each in repaired(store)} == {False}
    assert nix_complains(store) == (False, set())


# -- with a network, and without


@pytest.fixture
def from_index(
    environments: "Environments", index: "Index", make_wheel: "MakeWheel"
) -> Callable[[Store], Path]:
    wheel = make_wheel("alpha")
    url = index.add(wheel)
    made = instantiate("demo", [selected(wheel, url=url)], environments.interpreter)

    def realised(store: Store) -> Path:
        assert made.environment is not None
        with Fetcher(offline=False) as fetcher:
            realise(store, fetcher, SilentReporter(), made.derivations, made.environment, jobs=1)
        outputs = [each.output_path() for each in made.derivations.values()]
        (found,) = (path for path in outputs if path.endswith(".whl"))
        return Path(store.physical(found))

    return realised


def test_offline_the_damaged_stays_and_it_is_said_why(
    from_index: Callable[[Store], Path], store: Store
) -> None:
    spoil(from_index(store))
    with Store(replace(store.settings, offline=True)) as offline:
        (outcome,) = repaired(offline)
    assert outcome.done is None
    assert "envtool works offline" in outcome.reason
    assert outcome.hint == "run it again without --offline"
    (outcome,) = repaired(store)
    assert outcome.done == "fetched again"
    assert_whole(store)


def test_index_that_no_longer_has_the_file_leaves_the_damaged_one(
    from_index: Callable[[Store], Path], store: Store, index: "Index"
) -> None:
    place = from_index(store)
    spoil(place)
    index.behaviour["/files/alpha-1.0-py3-none-any.whl"] = 404
    (outcome,) = repaired(store)
    assert outcome.done is None
    assert "404" in outcome.reason
    assert place.read_text() == "# damaged\n"
