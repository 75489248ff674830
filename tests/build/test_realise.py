"""Realising: only what is missing, once, whoever else does it, whatever ends it."""

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.missing import missing
from envtool.build.realise import realise
from envtool.errors import BuildError, FetchError, StoreError, WheelError
from envtool.formats.lock import Artifact, LockedPackage
from envtool.formats.nix.derivation import Derivation, Output
from envtool.formats.nix.storepath import StorePath
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.mending.verify import verify
from envtool.machine.store import Store
from envtool.plan.derivations import FETCH, UNPACK, Instantiation
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import Reporter, SilentReporter, Step
from envtool.sources.interpreter import Interpreter
from envtool.values import replace

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel

CHILD = Path(__file__).with_name("children") / "realise.py"
NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]


def offered(index: "Index", wheel: Path, *, sha256: str | None = None) -> Selected:
    """Offer a wheel and return its package as a lock pins it."""
    content = wheel.read_bytes()
    digest = sha256 or hashlib.sha256(content).hexdigest()
    artifact = Artifact(wheel.name, index.add(wheel), None, len(content), digest)
    name, version = wheel.name.split("-")[:2]
    return Selected(LockedPackage(name, version, None, wheels=(artifact,)), artifact)


@pytest.fixture
def packages(index: "Index", make_wheel: "MakeWheel") -> dict[str, Selected]:
    return {
        name: offered(index, make_wheel(name, files={f"{name}/__init__.py": f"NAME = {name!r}\n"}))
        for name in NAMES
    }


def run(
    store: Store, made: Instantiation, reporter: Reporter | None = None, *, jobs: int = 2
) -> StorePath:
    assert made.environment is not None
    with Fetcher(offline=False, retries=1, backoff=0) as fetcher:
        return realise(
            store,
            fetcher,
            reporter or SilentReporter(),
            made.derivations,
            made.environment,
            jobs=jobs,
        )


def of(packages: dict[str, Selected], names: Sequence[str], python: Interpreter) -> Instantiation:
    return instantiate("demo", [packages[name] for name in names], python)


def fetched(index: "Index") -> list[str]:
    """Return the files that were sent whole, each as often as it was."""
    return sorted(
        each.path.split("/")[-1].split("-")[0] for each in index.log if each.status == 200
    )


def assert_clean(store: Store) -> None:
    assert verify(store, contents=True) == []
    assert [name for name in os.listdir(store.settings.store) if name.endswith(".lock")] == []


# -- doing only what is missing


def test_everything_is_made_once_and_then_nothing(
    store: Store, index: "Index", packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    made = of(packages, NAMES, interpreter)
    first = run(store, made)
    assert fetched(index) == sorted(NAMES)
    assert run(store, made) == first
    assert fetched(index) == sorted(NAMES)
    assert_clean(store)


def test_second_environment_fetches_only_what_the_first_lacked(
    store: Store, index: "Index", packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    run(store, of(packages, NAMES[:4], interpreter))
    index.log.clear()
    made = of(packages, NAMES[2:], interpreter)
    assert made.environment is not None
    todo = missing(store, made.derivations, [made.environment])
    assert {made.derivations[path].name.split("-")[0] for path in todo.fetch} == set(NAMES[4:])
    run(store, made)
    assert fetched(index) == sorted(NAMES[4:])


def test_missing_lists_inputs_before_their_users(
    store: Store, packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    made = of(packages, NAMES[:1], interpreter)
    assert made.environment is not None
    todo = missing(store, made.derivations, [made.environment])
    names = [made.derivations[path].name for path in todo.build]
    assert [made.derivations[path].name for path in todo.fetch] == ["alpha-1.0-py3-none-any.whl"]
    assert names[-1] == "demo-env"
    assert "alpha-1.0" in names


def test_unpacked_wheel_needs_its_archive_no_more(
    store: Store, index: "Index", packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    run(store, of(packages, NAMES[:2], interpreter))
    index.log.clear()
    for name in NAMES[:2]:
        made = of(packages, [name], interpreter)
        assert made.environment is not None
        assert missing(store, made.derivations, [made.environment]).fetch == ()
        run(store, made)
    assert fetched(index) == []


def test_every_derivation_and_output_knows_the_other(
    store: Store, packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    made = of(packages, NAMES[:2], interpreter)
    run(store, made)
    for path, derivation in made.derivations.items():
        assert store.read_derivation(path) == derivation
        assert store.info(derivation.output_path()).deriver == path


def test_one_output_of_two_derivations_is_fetched_once(
    store: Store, index: "Index", packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    artifact = packages["alpha"].artifact
    assert artifact is not None
    assert artifact.url is not None
    mirrored = replace(artifact, url=artifact.url.replace("/files/", "/files/mirror/"))
    second = Selected(LockedPackage("alpha-too", "1.0", None, wheels=(mirrored,)), mirrored)
    made = instantiate("demo", [packages["alpha"], second], interpreter)
    assert len({made.output(path) for path in made.derivations}) == len(made.derivations) - 1
    run(store, made)
    assert fetched(index) == ["alpha"]
    assert_clean(store)


class Steps(SilentReporter):
    """Counts what is said, from any thread."""

    def __init__(self) -> None:
        self.expected: dict[str, tuple[int, int | None]] = {}
        self.started: list[Step] = []
        self.finished: list[Step] = []
        self.bytes = 0

    def expect(self, kind: str, count: int, size: int | None) -> None:
        self.expected[kind] = (count, size)

    def start(self, step: Step) -> None:
        self.started.append(step)

    def advance(self, step: Step, size: int) -> None:
        self.bytes += size if step.kind == "fetch" else 0

    def finish(self, step: Step) -> None:
        self.finished.append(step)


def test_reporter_hears_of_every_step_and_byte(
    store: Store, packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    steps = Steps()
    run(store, of(packages, NAMES, interpreter), steps)
    total = sum(each.artifact.size or 0 for each in packages.values() if each.artifact)
    assert steps.expected["fetch"] == (len(NAMES), total)
    assert steps.expected["unpack"] == (len(NAMES), None)
    assert steps.bytes == total
    assert sorted(map(str, steps.started)) == sorted(map(str, steps.finished))


# -- failures


class Last(SilentReporter):
    """Holds one artifact's fetch back until so many other steps are done."""

    def __init__(self, label: str, others: int) -> None:
        self.label = label
        self.left = threading.Semaphore(0)
        self.others = others

    def start(self, step: Step) -> None:
        if step.kind == "fetch" and step.label.startswith(self.label):
            for _ in range(self.others):
                self.left.acquire()

    def finish(self, step: Step) -> None:
        if step.kind in ("fetch", "unpack"):
            self.left.release()


def test_artifact_of_another_hash_is_refused_and_the_others_are_kept(
    store: Store,
    index: "Index",
    make_wheel: "MakeWheel",
    packages: dict[str, Selected],
    interpreter: Interpreter,
) -> None:
    bad = offered(index, make_wheel("bad"), sha256="0" * 64)
    made = instantiate("demo", [*packages.values(), bad], interpreter)
    with pytest.raises(FetchError, match="bad-"):
        run(store, made, Last("bad", 2 * len(NAMES)))
    valid = store.valid(made.output(path) for path in made.derivations)
    assert {made.output(made.packages[name]) for name in NAMES} <= valid
    assert {path.name for path in valid if "bad" in path.name or path.name == "demo-env"} == set()
    assert_clean(store)


def test_run_after_a_failure_fetches_only_what_failed(
    store: Store, index: "Index", packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    index.behaviour["/files/beta-1.0-py3-none-any.whl"] = [404]
    made = of(packages, NAMES, interpreter)
    with pytest.raises(FetchError, match="404"):
        run(store, made, Last("beta", 2 * (len(NAMES) - 1)))
    index.log.clear()
    run(store, made)
    assert fetched(index) == ["beta"]
    assert_clean(store)


def test_hostile_wheel_leaves_its_archive_and_nothing_unpacked(
    store: Store, index: "Index", make_wheel: "MakeWheel", interpreter: Interpreter
) -> None:
    bad = offered(index, make_wheel("bad", tamper="record-hash"))
    made = instantiate("demo", [bad], interpreter)
    with pytest.raises(WheelError, match="RECORD"):
        run(store, made)
    assert not store.is_valid(made.output(made.packages["bad"]))
    assert_clean(store)


def test_offline_fails_with_the_first_missing_artifact(
    store: Store, packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    made = of(packages, NAMES, interpreter)
    assert made.environment is not None
    with Fetcher(offline=True) as fetcher, pytest.raises(FetchError, match="offline"):
        realise(store, fetcher, SilentReporter(), made.derivations, made.environment, jobs=1)
    assert_clean(store)


def test_unknown_builder_is_named(store: Store) -> None:
    made = Instantiation()
    path = made.add(
        Derivation(
            name="odd",
            outputs={"out": Output(None)},
            input_derivations={},
            input_sources=frozenset(),
            system="builtin",
            builder="builtin:magic",
            arguments=(),
            environment={"name": "odd"},
        )
    )
    made.environment = path
    with pytest.raises(BuildError, match="unknown builder 'builtin:magic'"):
        run(store, made)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse to write files longer than so many bytes, as a full disk does."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_disk_that_refuses_is_an_error_of_ours_and_leaves_nothing(
    store: Store, index: "Index", make_wheel: "MakeWheel", interpreter: Interpreter
) -> None:
    big = offered(index, make_wheel("big", files={"big.bin": b"\0" * (4 << 20)}))
    made = instantiate("demo", [big], interpreter)
    with largest_file(2 << 20), pytest.raises(StoreError) as caught:
        run(store, made)
    assert "File too large" in caught.value.message
    assert caught.value.hint is not None
    assert_clean(store)
    run(store, made)


# -- several processes


@pytest.fixture
def specification(tmp_path: Path) -> Callable[[Sequence[Selected]], Path]:
    def write(packages: Sequence[Selected]) -> Path:
        rows = [
            (each.artifact.filename, each.artifact.url, each.artifact.size, each.artifact.sha256)
            for each in packages
            if each.artifact
        ]
        path = tmp_path / f"{len(list(tmp_path.glob('*.json')))}.json"
        path.write_text(json.dumps(rows))
        return path

    return write


@contextmanager
def child(*words: str | Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(CHILD), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_processes_share_the_work_on_overlapping_closures(
    store: Store,
    index: "Index",
    packages: dict[str, Selected],
    specification: Callable[[Sequence[Selected]], Path],
) -> None:
    index.behaviour["/files/gamma-1.0-py3-none-any.whl"] = ["stall"]
    first = specification([packages[name] for name in NAMES[:4]])
    second = specification([packages[name] for name in NAMES[2:]])
    root = store.settings.root
    with child(root, first) as one:
        while not any("gamma" in path for path in index.paths()):
            assert one.poll() is None
        with child(root, second) as other:
            assert other.stdout is not None
            # The first holds gamma, whose fetch hangs; the second has done the rest and waits.
            assert other.stdout.readline().startswith(f"waiting for process {one.pid}")
            index.released.set()
            outputs = {process.communicate()[0].split("\n")[-2] for process in (one, other)}
            assert (one.returncode, other.returncode) == (0, 0)
    assert len(store.valid(map(StorePath.parse, outputs))) == 2
    assert fetched(index) == sorted(NAMES)
    assert_clean(store)


def test_eight_processes_do_each_unit_of_work_once_and_never_wait_for_each_other(
    store: Store,
    index: "Index",
    packages: dict[str, Selected],
    specification: Callable[[Sequence[Selected]], Path],
    interpreter: Interpreter,
) -> None:
    wanted = [
        [packages[name] for at, name in enumerate(NAMES) if at not in {one % 6, (one + 2) % 6}]
        for one in range(8)
    ]
    root = store.settings.root
    os.makedirs(store.settings.store)
    for derivation in of(packages, NAMES, interpreter).derivations.values():
        if derivation.builder in {FETCH, UNPACK}:
            # As a process that died leaves them.
            Path(f"{store.physical(derivation.output_path())}.lock").touch()
    optimising = (
        "import sys; from envtool.machine.sharing.optimise import optimise;"
        "from envtool.machine.settings import Settings; from envtool.machine.store import Store;"
        "from envtool.reporting import SilentReporter;"
        "[optimise(Store(Settings(sys.argv[1])), SilentReporter()) for _ in range(5)]"
    )
    with ExitStack() as stack:
        command = [sys.executable, "-c", optimising, root]
        beside = stack.enter_context(subprocess.Popen(command))
        children = [stack.enter_context(child(root, specification(each))) for each in wanted]
        assert [each.communicate() and each.returncode for each in children] == [0] * 8
        assert beside.wait() == 0
    assert fetched(index) == sorted(NAMES)
    steps = Path(root, "steps").read_text().splitlines()
    unpacked = sorted(step.split()[1].split("-")[0] for step in steps if step.startswith("unpack"))
    assert unpacked == sorted(NAMES)
    assert_clean(store)


@pytest.mark.parametrize(("name", "times"), [("SIGKILL", 30), ("SIGINT", 15)])
def test_death_at_any_instant_leaves_every_valid_path_intact(
    tmp_path: Path,
    packages: dict[str, Selected],
    specification: Callable[[Sequence[Selected]], Path],
    name: str,
    times: int,
) -> None:
    path = specification([packages[each] for each in NAMES[:3]])
    command = [sys.executable, str(CHILD), str(tmp_path / "roots"), str(path), name, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > times // 2


def test_interrupt_registers_what_is_finished(
    store: Store, packages: dict[str, Selected], interpreter: Interpreter
) -> None:
    class Interrupting(Last):
        def start(self, step: Step) -> None:
            super().start(step)
            if step.kind == "fetch" and step.label.startswith(self.label):
                raise KeyboardInterrupt

    made = of(packages, NAMES, interpreter)
    with pytest.raises(KeyboardInterrupt):
        run(store, made, Interrupting("zeta", 2 * (len(NAMES) - 1)))
    outputs = [made.output(made.packages[name]) for name in NAMES[:-1]]
    assert store.valid(outputs) == set(outputs)
    assert_clean(store)
