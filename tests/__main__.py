"""`python3 tests`: set up all that the tests need, then check and test everything.

Further words go to pytest: `python3 tests tests/formats -k nar`.
"""

import os
import signal
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)


def main(words: list[str]) -> int:
    """Run the checks and then pytest; return the exit code of the first that fails."""
    os.chdir(ROOT)
    # A shell's background job begins with Ctrl-C ignored, and hands that on to all it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for check in CHECKS:
        print(f"== {' '.join(check)}", flush=True)  # noqa: T201 - what a terminal is to show
        code = subprocess.run([sys.executable, "-m", *check], check=False).returncode
        if code != 0:
            return code
    workers = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", "auto")
    print("== pytest", flush=True)  # noqa: T201
    argv = [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal", *words]
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    # The script's own folder leads sys.path, and its parts are named as modules of ours are.
    sys.path[0] = ROOT
    from envtool.bootstrap import become

    become([os.path.abspath(__file__), *sys.argv[1:]], group="dev")
    sys.exit(main(sys.argv[1:]))
