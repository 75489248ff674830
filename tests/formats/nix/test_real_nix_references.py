"""Real Nix as the judge of references: it builds outputs with digests in every corner of them."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.references import ReferenceScanner
from envtool.formats.nix.storepath import StorePath
from envtool.machine.metadata import delete_tree

pytestmark = pytest.mark.programs("nix-store")
EXPRESSION = """
let
  dep = n: derivation {
    name = "dep-${n}"; system = builtins.currentSystem; builder = "/bin/sh";
    args = [ "-c" "echo ${n} > $out" ];
  };
  all = { %s };
in derivation {
  name = "user"; system = builtins.currentSystem; builder = "/bin/sh"; dataset = %s;
  args = [ "-c" "PATH=$path; cp -R $dataset/. $out; . $out/script" ];
  path = "/usr/bin:/bin";
  deps = builtins.attrValues all;
}
"""
NAMES = [
    "name",  # of a file
    "target",  # of a symlink
    "random",  # amid bytes that look compressed
    "border",  # across the border of two pieces of the stream
    "start",  # the first bytes of a file
    "end",  # the last bytes of a file
    "folder",  # of a directory
    "glued",  # to other digits of the alphabet
    "torn",  # two halves in two files: no reference
    "upper",  # in capitals: no reference
    "absent",  # nowhere: no reference
]
SCRIPT = r"""
set -e
chmod -R u+w "$out"
for each in $deps; do
  base=${each##*/}; digest=${base%%-*}; name=${base##*-}
  case $name in
    name) touch "$out/x$digest.py" ;;
    target) ln -s "../$digest-renamed/lib" "$out/link" ;;
    random) { cat "$out/noise"; printf %s "$digest"; cat "$out/noise"; } > "$out/random" ;;
    border) { head -c 1048560 "$out/noise"; printf %s "$digest"; cat "$out/noise"; } > "$out/b" ;;
    start) { printf %s "$digest"; cat "$out/noise"; } > "$out/start" ;;
    end) { cat "$out/noise"; printf %s "$digest"; } > "$out/end" ;;
    folder) mkdir "$out/$digest" ;;
    glued) printf '0123abc%sxyz0' "$digest" > "$out/glued" ;;
    torn) printf %s "$digest" | cut -c1-16 > "$out/p"; printf %s "$digest" | cut -c17- > "$out/q" ;;
    upper) printf %s "$digest" | tr a-z A-Z > "$out/upper" ;;
  esac
done
printf %s "$out" > "$out/itself"
rm "$out/script"
"""


@dataclass(frozen=True)
class Built:
    """An output that Nix built, and how Nix is asked about it."""

    output: str
    drv: str
    environ: dict[str, str]

    @property
    def store_dir(self) -> str:
        return self.environ["NIX_STORE_DIR"]

    def ask(self, *query: str) -> list[str]:
        return nix(self.environ, "nix-store", "--query", *query)


def nix(environ: dict[str, str], *command: str) -> list[str]:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Let Nix build it, in a store of its own."""
    folder = tmp_path_factory.mktemp("nix")
    data = folder / "data"
    data.mkdir()
    (data / "noise").write_bytes(random.Random(1).randbytes(3 << 20))
    (data / "script").write_text(SCRIPT)
    deps = " ".join(f'"{name}" = dep "{name}";' for name in NAMES)
    (folder / "user.nix").write_text(EXPRESSION % (deps, data))
    (folder / "nix.conf").write_text("build-users-group =\nsubstituters =\nsandbox = false\n")
    environ = {
        "HOME": str(folder),
        "NIX_CONF_DIR": str(folder),
        "NIX_LOG_DIR": str(folder / "log"),
        "NIX_STATE_DIR": str(folder / "var"),
        "NIX_STORE_DIR": str(folder / "store"),
        "PATH": os.environ["PATH"],
    }
    (drv,) = nix(environ, "nix-instantiate", str(folder / "user.nix"))
    (output,) = nix(environ, "nix-store", "--realise", drv)
    yield Built(output, drv, environ)
    delete_tree(str(folder / "store"))


def cut(sink: Callable[[bytes], object], size: int) -> Callable[[bytes], None]:
    """Return a sink that hands the stream on in pieces of one size."""

    def take(data: bytes) -> None:
        for start in range(0, len(data), size):
            sink(data[start : start + size])

    return take


@pytest.mark.parametrize("size", [None, 37, 4096, 65536])
def test_nix_finds_the_same_references_wherever_they_are(size: int | None, built: Built) -> None:
    requisites = built.ask("--requisites", "--include-outputs", built.drv)
    scanner = ReferenceScanner(StorePath.parse_full(each, built.store_dir) for each in requisites)
    nar.dump(built.output, scanner if size is None else cut(scanner, size))
    judged = built.ask("--references", built.output)
    assert {each.full(built.store_dir) for each in scanner.found} == set(judged)
    found = {each.name.removeprefix("dep-") for each in scanner.found}
    assert found == {*NAMES, "user"} - {"torn", "upper", "absent"}
