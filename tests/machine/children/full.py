"""Fill a store's disk until it refuses; then look that nothing is lost, make room, and go on.

`full.py ROOT BYTES`: objects of so many bytes, each a folder of ten files, go into the store at
ROOT, on a file system so small that it does not take them all. Prints how many it took.
"""

import os
import sys

from envtool.errors import EnvtoolError
from envtool.machine.collecting.gc import collect
from envtool.machine.mending.verify import verify
from envtool.machine.profile import profile_of
from envtool.machine.settings import Settings
from envtool.machine.store import Store


def tree(folder: str, number: int, size: int) -> str:
    os.makedirs(folder, exist_ok=True)
    for at in range(10):
        with open(f"{folder}/{at}", "wb") as file:
            file.write(b"%d %d" % (number, at) + os.urandom(size // 10))
    return folder


def main(root: str, source: str, size: int) -> None:
    settings = Settings(root)
    profile = profile_of(settings, "/project/envtool.toml", "default")
    with Store(settings) as store:
        kept = store.add_text("kept", b"kept")
        with store.shared():
            profile.set(kept)
        taken = [kept]
        error = None
        while error is None:
            try:
                taken.append(store.add_tree(tree(source, len(taken), size), f"tree{len(taken)}"))
            except EnvtoolError as caught:
                error = caught
        assert "No space left on device" in error.message or "full" in error.message, error.message
        assert error.hint is not None
        assert "free some space" in error.hint, error.hint
        assert store.valid(taken) == set(taken)
        assert not [problem for problem in verify(store, contents=True) if problem.harms]
        assert profile.current_object() == store.physical(kept)
        collect(store)
        assert verify(store, contents=True) == []
        assert store.is_valid(kept)
        store.add_tree(tree(source, 0, size), "again")
    print(len(taken))  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
