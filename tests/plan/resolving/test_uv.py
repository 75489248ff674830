"""What uv is told, by whom, and what comes of what it says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixtures.locks import HOST, Lockdown, versions

from envtool.errors import ResolutionError, StoreError
from envtool.formats.lock import render
from envtool.plan.resolving.uv import run
from envtool.sources.interpreter import Interpreter
from envtool.values import replace

if TYPE_CHECKING:
    import subprocess

    from fixtures.index import Behaviour, Index
    from fixtures.wheels import MakeWheel


def test_offline_the_cache_answers(index: "Index", make_wheel: "MakeWheel", lock: Lockdown) -> None:
    index.add(make_wheel("tiny"))
    online = lock("tiny")
    asked = len(index.log)

    assert lock("tiny", offline=True) == online
    assert len(index.log) == asked


def test_offline_without_the_cache_says_so(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))

    with pytest.raises(ResolutionError, match="offline, and tiny is not in the cache") as caught:
        lock("tiny", offline=True)

    assert "--offline" in str(caught.value.hint)
    assert index.log == []


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (404, "has no package tiny"),
        (401, "answered 401 Unauthorized"),
        (403, "answered 403 Forbidden"),
        (500, "the index answered 500 Internal Server Error"),
        (503, "the index answered 503 Service Unavailable"),
        ("truncate", "answer broke off"),
        ("stall", "did not answer in time"),
    ],
)
def test_an_index_that_fails_is_named_with_its_failure(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, behaviour: "Behaviour", message: str
) -> None:
    index.add(make_wheel("tiny"))
    index.behaviour["/simple/tiny/"] = behaviour

    with pytest.raises(ResolutionError) as caught:
        lock("tiny", timeout=1.0)

    assert message in caught.value.message.splitlines()[0]
    assert index.url in caught.value.message
    assert caught.value.hint is not None


def test_an_index_that_fails_once_is_asked_again(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    index.behaviour["/simple/tiny/"] = [503]

    assert versions(lock("tiny", retries=2)) == {"tiny": "1.0"}


def test_an_index_nobody_listens_at_is_unreachable(lock: Lockdown) -> None:
    with pytest.raises(ResolutionError, match=r"unreachable: .*Connection refused"):
        lock("tiny", index="http://127.0.0.1:1/simple/")


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        (("left", "right"), "no set of versions satisfies the requirements\n"),
        (("leaf>=9",), "no set of versions satisfies the requirements\n"),
        (("young",), "with this Python"),
        (("elsewhere",), "elsewhere has no wheel for this Python and platform"),
        (("leaf", "absent"), "has no package absent"),
    ],
)
def test_requirements_that_cannot_be_met_say_why(
    index: "Index",
    make_wheel: "MakeWheel",
    lock: Lockdown,
    requirements: Sequence[str],
    message: str,
) -> None:
    index.add(make_wheel("left", requires=["leaf<2"]))
    index.add(make_wheel("right", requires=["leaf>=2"]))
    index.add(make_wheel("leaf", "1.0"))
    index.add(make_wheel("leaf", "2.0"))
    index.add(make_wheel("elsewhere", tag="cp311-cp311-win_amd64"))
    index.add(make_wheel("young", requires_python=">=3.99"), requires_python=">=3.99")

    with pytest.raises(ResolutionError) as caught:
        lock(*requirements)

    assert message in caught.value.message
    assert len(caught.value.message.splitlines()) > 1


def test_credentials_of_an_index_reach_neither_lock_nor_message(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    secret = index.url.replace("http://", "http://user:hunter2@")

    text = render(lock("tiny", index=secret))
    with pytest.raises(ResolutionError) as caught:
        lock("absent", index=secret)

    assert "hunter2" not in text + caught.value.message + str(caught.value.hint)
    assert any("authorization" in request.headers for request in index.log)


@pytest.mark.parametrize(
    "environ",
    [{"UV_RESOLUTION": "lowest"}, {"UV_EXCLUDE_NEWER": "2001-01-01"}, {"UV_NO_INDEX": "1"}],
)
def test_variables_for_uv_do_not_change_the_answer(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, environ: Mapping[str, str]
) -> None:
    index.add(make_wheel("tiny", "1.0"))
    index.add(make_wheel("tiny", "2.0"))

    assert versions(lock("tiny", environ={**HOST, **environ})) == {"tiny": "2.0"}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({}, {"UV_SYSTEM_CERTS": "1"}),
        ({"UV_SYSTEM_CERTS": "false"}, {"UV_SYSTEM_CERTS": "false"}),
        ({"UV_NATIVE_TLS": "0"}, {"UV_NATIVE_TLS": "0"}),
    ],
)
def test_uv_trusts_the_authorities_of_the_host_unless_told_otherwise(
    index: "Index",
    make_wheel: "MakeWheel",
    lock: Lockdown,
    said: Mapping[str, str],
    heard: Mapping[str, str],
) -> None:
    index.add(make_wheel("tiny"))
    seen: list[dict[str, str]] = []

    def noting(
        arguments: Sequence[str], environ: Mapping[str, str], folder: str
    ) -> "subprocess.CompletedProcess[str]":
        names = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
        seen.append({name: environ[name] for name in names if name in environ})
        return run(arguments, environ, folder)

    lock("tiny", environ={**HOST, **said}, runner=noting)

    assert seen == [heard, heard]


def test_uv_settings_of_a_folder_above_the_cache_do_not_change_the_answer(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, tmp_path: Path
) -> None:
    (tmp_path / "uv.toml").write_text('resolution = "lowest"\n')
    index.add(make_wheel("tiny", "1.0"))
    index.add(make_wheel("tiny", "2.0"))

    assert versions(lock("tiny")) == {"tiny": "2.0"}


def test_the_host_says_which_index_when_nobody_else_does(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    environ = {**HOST, "PIP_INDEX_URL": index.url}

    assert versions(lock("tiny", index=None, environ=environ)) == {"tiny": "1.0"}


def test_the_declarations_index_goes_before_any_other(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))

    found = lock("tiny", own_index=index.url, index="http://127.0.0.1:1/simple/")

    assert versions(found) == {"tiny": "1.0"}


def test_an_interrupt_leaves_nothing_behind(lock: Lockdown, tmp_path: Path) -> None:
    def interrupted(*_: object) -> "subprocess.CompletedProcess[str]":
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lock("tiny", runner=interrupted)

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_says_so(lock: Lockdown) -> None:
    with pytest.raises(StoreError, match="cannot make a folder for the resolution"):
        lock("tiny", cache_dir="/proc/nowhere")


def test_an_interpreter_without_glibc_has_no_locks(
    lock: Lockdown, interpreter: Interpreter
) -> None:
    with pytest.raises(ResolutionError, match="without glibc"):
        lock("tiny", interpreter=replace(interpreter, glibc=None))
