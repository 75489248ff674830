"""Collectors beside realisations, and beside each other: nobody harms anybody."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from envtool.formats.nix.derivation import Derivation, Output, with_output_paths
from envtool.machine.mending.verify import verify
from envtool.machine.store import Store

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel

CHILD = Path(__file__).parent / "children/beside_collectors.py"


def begin(stack: ExitStack, *words: str | Path) -> "subprocess.Popen[str]":
    """Begin a process that ends at the latest with the test."""
    process = subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def test_two_collectors_beside_three_realisations_harm_nobody(
    store: Store, make_wheel: "MakeWheel"
) -> None:
    root = store.settings.root
    wheels = [make_wheel(name) for name in ("alpha", "beta", "gamma", "delta")]
    with ExitStack() as stack:
        collectors = [begin(stack, "collect", root) for _ in range(2)]
        realising = [
            begin(stack, "realise", root, "5", *wheels[at:], *wheels[: at - 1]) for at in (1, 2, 3)
        ]
        assert [each.wait() for each in realising] == [0, 0, 0]
        printed = [each.communicate("")[0] for each in collectors]
        assert [each.returncode for each in collectors] == [0, 0]
    names = " ".join(printed).split()
    assert names.count("demo-env") == 3 * 5
    assert verify(store, contents=True) == []


def test_two_collectors_at_once_delete_everything_once(store: Store) -> None:
    paths = [store.add_text(f"text-{number}", b"") for number in range(300)]
    drv = with_output_paths(
        Derivation("thing", {"out": Output(None)}, {}, frozenset(paths), "x", "b", (), {}),
        lambda _: "",
    )
    store.add_derivations([drv])
    with ExitStack() as stack:
        collectors = [begin(stack, "collect", store.settings.root) for _ in range(2)]
        printed = [each.communicate("")[0].split() for each in collectors]
        assert [each.returncode for each in collectors] == [0, 0]
    assert sorted(printed[0] + printed[1]) == sorted([*(path.name for path in paths), "thing.drv"])
    assert os.listdir(store.settings.store) == []
    assert verify(store, contents=True) == []
