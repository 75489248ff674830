"""From a lock to derivations: the same lock gives the same paths, and real Nix agrees on them."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.realise import realise
from envtool.errors import LockError
from envtool.formats.lock import Artifact, LockedPackage
from envtool.formats.nix.derivation import derivation_path, parse, render
from envtool.formats.nix.storepath import StorePath
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.plan.derivations import (
    ENVIRONMENT,
    FETCH,
    INTERPRETER,
    LOCAL,
    UNPACK,
    VERSIONS,
    Instantiation,
    store_name,
)
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter
from envtool.sources.interpreter import Interpreter, find
from envtool.values import replace

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel

PYTHON = Interpreter(
    executable="/usr/bin/python3.11",
    version="3.11.2",
    feature="3.11",
    implementation="cpython",
    abi="cp311",
    soabi="cpython-311-x86_64-linux-gnu",
    machine="x86_64",
    glibc=(2, 36),
    platlibdir="lib",
    stdlib="/usr/lib/python3.11",
    purelib="lib/python3.11/site-packages",
    platlib="lib/python3.11/site-packages",
    sha256="5" * 64,
)


def package(name: str, **changes: str | int) -> Selected:
    filename = f"{name}-1.0-py3-none-any.whl"
    digest = hashlib.sha256(name.encode()).hexdigest()
    plain = Artifact(filename, f"https://files.example/{filename}", None, 100, digest)
    artifact = replace(plain, **changes)
    return Selected(LockedPackage(name, "1.0", None, wheels=(artifact,)), artifact)


PACKAGES = [package(name) for name in ("alpha", "beta", "gamma")]


def outputs(made: Instantiation, builder: str) -> dict[str, StorePath]:
    return {
        derivation.name: made.output(path)
        for path, derivation in made.derivations.items()
        if derivation.builder == builder
    }


def environment(made: Instantiation) -> StorePath:
    assert made.environment is not None
    return made.output(made.environment)


def test_same_lock_gives_the_same_derivations() -> None:
    assert instantiate("demo", PACKAGES, PYTHON).derivations == (
        instantiate("demo", PACKAGES, PYTHON).derivations
    )


def test_paths_change_only_on_purpose() -> None:
    made = instantiate("demo", PACKAGES[:1], PYTHON)
    assert [str(made.output(path)) for path in made.derivations] == [
        "qmykys88b4zhap9995zjyi4q83jjz2hw-cpython-3.11.2-host",
        "3nrc3s7j7xw59dv7jqmydh7ib797qrdy-alpha-1.0-py3-none-any.whl",
        "kb1cx6h42n1phfkzl38fgyg7b9sv9gj2-alpha-1.0",
        "xxviwxcvp8a9kfkk70l93gpy75yhnp53-demo-env",
    ]


def test_order_of_the_selection_does_not_matter() -> None:
    made = instantiate("demo", PACKAGES[::-1], PYTHON)
    assert environment(made) == environment(instantiate("demo", PACKAGES, PYTHON))
    assert made.environment == instantiate("demo", PACKAGES, PYTHON).environment


def test_another_url_changes_no_output() -> None:
    one = instantiate("demo", PACKAGES, PYTHON)
    moved = package("alpha", url="https://mirror.example/alpha.whl")
    other = instantiate("demo", [moved, *PACKAGES[1:]], PYTHON)
    assert one.derivations.keys() != other.derivations.keys()
    assert sorted(map(one.output, one.derivations)) == sorted(map(other.output, other.derivations))


def test_another_size_changes_no_output() -> None:
    other = instantiate("demo", [package("alpha", size=101), *PACKAGES[1:]], PYTHON)
    assert environment(other) == environment(instantiate("demo", PACKAGES, PYTHON))


def test_another_hash_changes_what_depends_on_it_and_nothing_else() -> None:
    one = instantiate("demo", PACKAGES, PYTHON)
    other = instantiate("demo", [package("alpha", sha256="0" * 64), *PACKAGES[1:]], PYTHON)
    assert environment(one) != environment(other)
    for builder in (FETCH, UNPACK):
        before, after = outputs(one, builder), outputs(other, builder)
        changed = {name for name in before if before[name] != after[name]}
        assert len(changed) == 1
        assert changed.pop().startswith("alpha-1.0")


def test_another_interpreter_shares_the_unpacked_wheels() -> None:
    one = instantiate("demo", PACKAGES, PYTHON)
    other = instantiate("demo", PACKAGES, replace(PYTHON, sha256="6" * 64))
    assert outputs(one, UNPACK) == outputs(other, UNPACK)
    assert outputs(one, INTERPRETER) != outputs(other, INTERPRETER)
    assert environment(one) != environment(other)


@pytest.mark.parametrize(
    ("builder", "changed"),
    [(UNPACK, {UNPACK, ENVIRONMENT}), (ENVIRONMENT, {ENVIRONMENT})],
)
def test_another_version_of_a_builder_changes_its_outputs_and_their_users(
    monkeypatch: pytest.MonkeyPatch, builder: str, changed: set[str]
) -> None:
    one = instantiate("demo", PACKAGES, PYTHON)
    monkeypatch.setitem(VERSIONS, builder, "next")
    other = instantiate("demo", PACKAGES, PYTHON)
    kinds = (FETCH, UNPACK, INTERPRETER, ENVIRONMENT)
    assert {kind for kind in kinds if outputs(one, kind) != outputs(other, kind)} == changed


def test_toleration_of_collisions_is_another_environment_of_the_same_packages() -> None:
    one = instantiate("demo", PACKAGES, PYTHON)
    other = instantiate("demo", PACKAGES, PYTHON, collisions="warn")
    assert one.packages == other.packages
    assert environment(one) != environment(other)


def test_only_outputs_with_paths_of_this_machine_are_local() -> None:
    made = instantiate("demo", PACKAGES, PYTHON)
    local = {each.builder for each in made.derivations.values() if LOCAL in each.environment}
    assert local == {INTERPRETER, ENVIRONMENT}


def test_derivations_come_after_their_inputs() -> None:
    made = instantiate("demo", PACKAGES, PYTHON)
    seen: set[StorePath] = set()
    for path, derivation in made.derivations.items():
        assert derivation.input_derivations.keys() <= seen
        seen.add(path)


def test_bytes_of_every_derivation_parse_back() -> None:
    for path, derivation in instantiate("demo", PACKAGES, PYTHON).derivations.items():
        assert parse(render(derivation), derivation.name) == derivation
        assert derivation_path(derivation) == path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("torch-2.0+cu118-cp311-cp311-linux_x86_64.whl",) * 2,
        ("a b!c-1!2.0.whl", "a_b_c-1_2.0.whl"),
        (".hidden", "hidden"),
        ("ü", "_"),
        ("...", "_"),
        ("x" * 300, "x" * 211),
    ],
)
def test_any_text_becomes_a_name_of_a_store_object(text: str, name: str) -> None:
    assert store_name(text) == name
    assert StorePath.parse(f"{'0' * 32}-{name}").name == name


def test_package_without_any_source_is_refused() -> None:
    nothing = Selected(LockedPackage("alpha", "1.0", None), None)
    with pytest.raises(LockError, match="no source for alpha"):
        instantiate("demo", [nothing], PYTHON)


# -- with a store


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return find(None, prefer=None, environ=os.environ)


def local(wheels: Sequence[Path]) -> list[Selected]:
    found = []
    for wheel in wheels:
        content = wheel.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        artifact = Artifact(wheel.name, None, str(wheel), len(content), digest)
        name = wheel.name.split("-")[0]
        found.append(Selected(LockedPackage(name, "1.0", None, wheels=(artifact,)), artifact))
    return found


def realised(root: Path, made: Instantiation) -> StorePath:
    assert made.environment is not None
    with Store(Settings(str(root), fsync=False)) as store, Fetcher(offline=True) as fetcher:
        return realise(store, fetcher, SilentReporter(), made.derivations, made.environment, jobs=2)


def objects(root: Path) -> dict[str, bytes]:
    """Return the `.drv` files of a root by name, and the names of all else."""
    return {
        path.name: path.read_bytes() if path.name.endswith(".drv") else b""
        for path in (root / "store").iterdir()
    }


def test_two_roots_hold_the_same_paths_and_derivations(
    tmp_path: Path, make_wheel: "MakeWheel", interpreter: Interpreter
) -> None:
    made = instantiate("demo", local([make_wheel("alpha"), make_wheel("beta")]), interpreter)
    one, other = tmp_path / "one", tmp_path / "a longer place" / "other"
    assert realised(one, made) == realised(other, made)
    assert objects(one) == objects(other)
    assert len(objects(one)) == 2 * len(made.derivations)


@pytest.mark.parametrize("folder", ["C# and 50%20", "what?", "grün & blau", "a:b"])
def test_wheels_are_taken_from_folders_of_any_name(
    tmp_path: Path, make_wheel: "MakeWheel", interpreter: Interpreter, folder: str
) -> None:
    wheel = make_wheel("alpha", folder=tmp_path / folder)
    made = instantiate("demo", local([wheel]), interpreter)
    realised(tmp_path / "root", made)
    place = tmp_path / "root/store" / made.output(made.packages["alpha"])
    assert (place / "site-packages/alpha.py").is_file()


# -- real Nix on our own store


@pytest.fixture
def nix(tmp_path: Path, make_wheel: "MakeWheel", interpreter: Interpreter) -> "Nix":
    if shutil.which("nix-store") is None:
        pytest.skip("real Nix is the judge, and nix-store is not on PATH")
    made = instantiate("demo", local([make_wheel("alpha"), make_wheel("beta")]), interpreter)
    realised(tmp_path / "root", made)
    return Nix(tmp_path / "root", made)


class Nix:
    """Nix, opened on the root where an instantiation was realised."""

    def __init__(self, root: Path, made: Instantiation) -> None:
        self.made = made
        (root / "nix.conf").write_text("build-users-group =\nsubstituters =\n")
        self._store = (
            f"local?store=/envtool/store&real={root}/store&state={root}/var&log={root}/log"
        )
        self._environ = {"HOME": str(root), "NIX_CONF_DIR": str(root), "PATH": os.environ["PATH"]}

    def run(self, *words: str) -> list[str]:
        command = ["nix-store", "--store", self._store, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def test_nix_finds_every_object_intact(nix: Nix) -> None:
    assert nix.run("--verify", "--check-contents") == []
    for path in nix.made.derivations:
        assert nix.run("--verify-path", nix.made.output(path).full()) == []


def test_nix_reads_the_same_outputs_from_every_derivation(nix: Nix) -> None:
    for path in nix.made.derivations:
        assert nix.run("--query", "--outputs", path.full()) == [nix.made.output(path).full()]


def test_nix_sees_the_same_inputs_and_derivers(nix: Nix) -> None:
    for path, derivation in nix.made.derivations.items():
        references = nix.run("--query", "--references", path.full())
        assert sorted(references) == sorted(each.full() for each in derivation.references())
        assert nix.run("--query", "--deriver", nix.made.output(path).full()) == [path.full()]


def test_nix_has_nothing_left_to_realise(nix: Nix) -> None:
    assert nix.made.environment is not None
    shown = nix.run("--realise", nix.made.environment.full())
    assert shown[-1] == environment(nix.made).full()


def test_nix_finds_the_whole_closure(nix: Nix) -> None:
    closure = nix.run("--query", "--requisites", environment(nix.made).full())
    wanted = {*map(nix.made.output, nix.made.packages.values()), environment(nix.made)}
    assert {each.full() for each in wanted} <= set(closure)
