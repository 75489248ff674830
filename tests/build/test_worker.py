"""Worker processes unpack as this process would, and die without harm."""

import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.build import schedule
from envtool.build.unpack import unpack
from envtool.build.worker import Workers
from envtool.errors import BuildError, WheelError
from envtool.formats.nix import nar

if TYPE_CHECKING:
    from build.conftest import Environments
    from fixtures.wheels import MakeWheel


def test_a_worker_does_what_this_process_does(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    wheel = make_wheel("tiny", files={"tiny/__init__.py": "x = 1\n", "tiny/data": "y" * 9_000_000})
    seen: list[int] = []
    here = unpack(str(wheel), wheel.name, str(tmp_path / "here"))
    with Workers(2) as workers:
        for name in ("there", "again"):
            found = workers.unpack(str(wheel), wheel.name, str(tmp_path / name), seen.append)
            assert found == here
            assert nar.hash_path(str(tmp_path / name)) == (here.nar_hash, here.nar_size)
    assert sum(seen) >= 18_000_000
    assert len(seen) > 2


def test_a_worker_refuses_and_goes_on(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    bad, good = tmp_path / "bad-1-py3-none-any.whl", make_wheel("good")
    bad.write_bytes(b"no zip")
    with Workers(1) as workers:
        with pytest.raises(WheelError, match="is not a zip archive") as caught:
            workers.unpack(str(bad), bad.name, str(tmp_path / "bad"), lambda _: None)
        assert caught.value.hint is not None
        with pytest.raises(FileExistsError):
            workers.unpack(str(good), good.name, str(tmp_path), lambda _: None)
        workers.unpack(str(good), good.name, str(tmp_path / "good"), lambda _: None)
    assert (tmp_path / "good/wheel.json").exists()


def test_who_waits_for_a_killed_worker_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "slow-1-py3-none-any.whl"
    os.mkfifo(pipe)  # opening it waits for a writer that never comes
    workers = Workers(1)
    threading.Timer(0.2, workers.close).start()
    with pytest.raises(BuildError, match="ended before it was done"):
        workers.unpack(str(pipe), pipe.name, str(tmp_path / "slow"), lambda _: None)
    with pytest.raises(BuildError, match="ended before it was done"):
        workers.unpack(str(pipe), pipe.name, str(tmp_path / "slow"), lambda _: None)


def _others(leader: int) -> set[int]:
    """Return the living processes of the leader's session but for itself."""
    found = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if os.getsid(pid) == leader != pid and state != "Z":
                found.add(pid)
    return found


def test_a_worker_that_is_killed_takes_no_other_with_it(
    make_wheel: "MakeWheel", tmp_path: Path
) -> None:
    wheel = make_wheel("tiny")
    with Workers(3) as workers:
        for name in ("one", "two", "three"):  # all have been forked when all have answered
            workers.unpack(str(wheel), wheel.name, str(tmp_path / name), lambda _: None)
        killed = min(_others(workers._process.pid))
        os.kill(killed, signal.SIGKILL)
        outcomes = []
        for name in ("four", "five", "six"):
            try:
                workers.unpack(str(wheel), wheel.name, str(tmp_path / name), lambda _: None)
                outcomes.append("done")
            except BuildError as error:
                outcomes.append(error.message)
    assert outcomes.count("done") == 2
    assert any("ended before it was done" in outcome for outcome in outcomes)
    assert not _others(workers._process.pid)
    assert workers._process.returncode == 0


_OWNER = """
import os, signal
from envtool.build.worker import Workers
workers = Workers(3)
print(workers._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_who_started_them_is_killed() -> None:
    owner = subprocess.run([sys.executable, "-c", _OWNER], capture_output=True, check=False)
    assert owner.returncode == -signal.SIGKILL
    leader = int(owner.stdout)
    _wait_for_end(leader)
    for pid in _others(leader):
        _wait_for_end(pid)
    assert not _others(leader)


def _wait_for_end(pid: int) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [], 60)
        os.close(handle)


def test_an_environment_of_workers_is_the_same(
    environments: "Environments", make_wheel: "MakeWheel", monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = [
        make_wheel(name, files={f"{name}.py": f"name = {name!r}\n"}) for name in ("one", "two")
    ]
    monkeypatch.setattr(schedule, "WORTH_A_WORKER", 1)
    asked: list[str] = []
    original = Workers.unpack

    def watched(self: Workers, path: str, filename: str, *rest: Any, **named: Any) -> object:
        asked.append(filename)
        return original(self, path, filename, *rest, **named)

    monkeypatch.setattr(Workers, "unpack", watched)
    environment = environments.of(*wheels, name="workers")
    assert environment.python("import one, two; print(one.name, two.name)") == "one two"
    assert sorted(asked) == sorted(wheel.name for wheel in wheels)
