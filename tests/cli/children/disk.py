"""Work on a store whose disk is mounted at its root, in a project that is the working directory.

`disk.py read-only COMMANDS` fills the store, makes the disk read-only and runs the commands, which
are a JSON list of lists of words. `disk.py full KB` fills the disk but for so many kilobytes, runs
what writes, and looks whether what was there before still is, and whether a collector makes room.
Prints a JSON list of exit code, stdout and stderr of each command.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

Ended = tuple[int, str, str]
MAIN = "import sys; from envtool.cli import main; sys.exit(main())"


def run(*words: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def succeed(*words: str) -> str:
    code, told, complaint = run(*words)
    assert code == 0, complaint
    return told


def declare(number: int) -> None:
    Path("envtool.toml").write_text(f'name = "demo"\ndependencies = []\n[vars]\nN = "{number}"\n')


def prepare() -> None:
    """Make two generations."""
    for number in (1, 2):
        declare(number)
        succeed("switch")


def read_only(commands: list[list[str]]) -> list[Ended]:
    prepare()
    succeed("store", "add", "known")
    Path("doomed").write_text("doomed")
    (dead,) = json.loads(succeed("store", "add", "--json", "doomed"))["paths"]
    subprocess.run(["mount", "-o", "remount,bind,ro", os.environ["ENVTOOL_ROOT"]], check=True)
    words = {"dead": dead["path"]}
    return [run(*(words.get(word, word) for word in command)) for command in commands]


def full(left: int) -> list[tuple[list[str], Ended]]:
    root = os.environ["ENVTOOL_ROOT"]
    prepare()
    succeed("gc")
    before = json.loads(succeed("generations", "--json"))
    declare(3)
    Path("tree").mkdir()
    for at in range(50):
        Path(f"tree/{at}").write_bytes(os.urandom(2000))
    with open(f"{root}/ballast", "wb") as ballast:
        free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
        os.posix_fallocate(ballast.fileno(), 0, free - left * 1024)
    commands = (["store", "add", "tree"], ["switch"], ["store", "optimise"], ["gc"])
    ended = [(words, run(*words)) for words in commands]
    after = json.loads(succeed("generations", "--json"))["generations"]
    assert [each["path"] for each in after][:2] == [
        each["path"] for each in before["generations"]
    ], (before, after)
    assert "nothing is wrong" in succeed("store", "verify", "--contents")
    assert ended[-1][1][0] == 0, ended[-1]
    os.unlink(f"{root}/ballast")
    succeed("switch")
    return ended


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    answer = read_only(json.loads(argument)) if what == "read-only" else full(int(argument))
    print(json.dumps(answer))  # noqa: T201 - the answer to the test
