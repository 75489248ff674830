"""Real Nix as the judge: asked the same about the same store, it gives the same answers."""

import json
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envtool.formats.nix.storepath import StorePath

pytestmark = pytest.mark.programs("nix-store")
COUNT = 40
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class Judge:
    """Nix, with our store opened as its own."""

    environ: dict[str, str]

    def lines(self, *command: str, stdin: bytes = b"") -> list[str]:
        return self.bytes(*command, stdin=stdin).decode().splitlines()

    def bytes(self, *command: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            command, input=stdin, env=self.environ, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture
def nix(place: Any, tmp_path: Path) -> Judge:
    """Open the store of the root with Nix."""
    store = f"local?store=/envtool/store&real={place.root}/store&state={place.root}/var"
    return Judge(
        {
            "HOME": str(tmp_path),
            "NIX_CONF_DIR": str(tmp_path),
            "NIX_REMOTE": store,
            "NIX_CONFIG": "experimental-features = nix-command\nbuild-users-group =\n",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
    )


@pytest.fixture
def graph(store: Any) -> list[StorePath]:
    """Add objects that refer to up to three of those before them, several of a name."""
    choose = random.Random(3)
    paths: list[StorePath] = []
    for number in range(COUNT):
        below = choose.sample(paths, min(len(paths), choose.randrange(4)))
        name = f"part{number % 9}-{1 + number // 9}.{number}"
        data = b" ".join(each.full().encode() for each in below) + b"." * choose.randrange(40_000)
        paths.append(store.add_text(name, data, below))
    return paths


@pytest.fixture
def full(lines: Any) -> Callable[..., list[str]]:
    """Run a command of ours and return the logical paths of those it prints."""

    def run(*words: str) -> list[str]:
        return [f"/envtool/store/{Path(line).name}" for line in lines(*words)]

    return run


def test_references_and_closures(graph: list[StorePath], nix: Judge, full: Any) -> None:
    for path in (graph[0], graph[COUNT // 2], graph[-1]):
        asked = path.full()
        for ours, theirs in (
            (["references"], ["--references"]),
            (["referrers"], ["--referrers"]),
            (["referrers", "--closure"], ["--referrers-closure"]),
            (["closure"], ["--requisites"]),
        ):
            judged = nix.lines("nix-store", "--query", *theirs, asked)
            assert full(*ours, path) == sorted(judged), (ours, path)


def test_path_info(graph: list[StorePath], nix: Judge, shape: Any) -> None:
    told = json.loads(nix.bytes("nix", "path-info", "--json", "-r", "-S", graph[-1].full()))
    theirs = {each["path"]: each for each in told}
    ours = {each["path"]: each for each in shape("path-info", "-rs", graph[-1])["paths"]}
    assert ours.keys() == theirs.keys()
    for path, judged in theirs.items():
        found = ours[path]
        assert found["nar_hash"] == judged["narHash"]
        assert found["nar_size"] == judged["narSize"]
        assert found["closure_size"] == judged["closureSize"]
        assert found["references"] == sorted(judged["references"])
        assert found["ca"] == judged["ca"]
        assert found["ultimate"] == judged["ultimate"]


def test_graph_has_the_same_edges(graph: list[StorePath], nix: Judge, lines: Any) -> None:
    """Nix draws them from what is needed to what needs it."""
    edge = re.compile(r'^ *"([^"]+)" -> "([^"]+)"')
    judged = nix.lines("nix-store", "--query", "--graph", graph[-1].full(), graph[-2].full())
    theirs = [match.groups()[::-1] for match in map(edge.match, judged) if match]
    ours = [
        match.groups() for match in map(edge.match, lines("graph", graph[-1], graph[-2])) if match
    ]
    assert len(theirs) > 5
    assert sorted(ours) == sorted(theirs)


def test_why_depends_is_as_short(graph: list[StorePath], nix: Judge, shape: Any) -> None:
    needed = nix.lines("nix-store", "--query", "--requisites", graph[-1].full())
    assert len(needed) > 5
    for other in needed[:-1]:
        printed = nix.lines("nix", "why-depends", graph[-1].full(), other)
        judged = [ESCAPES.sub("", line) for line in printed]
        chain = shape("why-depends", graph[-1], other)["chain"]
        assert len(chain) == len(judged) - 1, other
        assert chain[-1]["reference"] == other
        assert all(each["found"] == [{"file": "", "how": "contents"}] for each in chain)


def test_diff_closures_has_the_same_lines(graph: list[StorePath], nix: Judge, lines: Any) -> None:
    compared = 0
    for before, after in ((graph[-1], graph[-2]), (graph[-3], graph[-1]), (graph[0], graph[-1])):
        printed = nix.lines("nix", "store", "diff-closures", before.full(), after.full())
        theirs = [_words(ESCAPES.sub("", line)) for line in printed]
        ours = [_words(line) for line in lines("diff-closures", before, after)]
        assert [each[:-1] for each in ours] == [each[:-1] for each in theirs]
        for mine, judged in zip(ours, theirs, strict=True):
            assert mine[-1] == pytest.approx(judged[-1], abs=600), mine
            compared += 1
    assert compared > 10


def _words(line: str) -> tuple[str, str, float]:
    """Split `a: 1 → 2, +3.0 KiB` (and ours, `a:  1 → 2  +3.1 kB`) into name, versions, bytes."""
    name, rest = line.split(":", 1)
    size = re.search(r"([+-][0-9.]+) (KiB|kB)$", rest)
    grown = float(size[1]) * {"KiB": 1024, "kB": 1000}[size[2]] if size else 0.0
    versions = rest[: size.start()] if size else rest
    return name, versions.strip().rstrip(","), grown


def test_dump_and_hash_and_add(nix: Judge, place: Any, lines: Any, store: Any) -> None:
    tree = place.project / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(b"x" * 5000)
    (tree / "link").symlink_to("sub")
    (tree / "tool").write_text("t")
    (tree / "tool").chmod(0o755)
    asked = str(tree)
    for spelling, theirs in (("sri", "--sri"), ("base16", "--base16"), ("nix32", "--base32")):
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            judged = nix.lines("nix", "hash", "path", theirs, "--type", algorithm, asked)
            assert lines("hash", f"--{spelling}", "--type", algorithm, asked) == judged
            file = str(tree / "tool")
            judged = nix.lines("nix", "hash", "file", theirs, "--type", algorithm, file)
            assert lines("hash", "--flat", f"--{spelling}", "--type", algorithm, file) == judged
    lines("dump", asked, "--output", "tree.nar")
    assert (place.project / "tree.nar").read_bytes() == nix.bytes("nix-store", "--dump", asked)
    assert [Path(line).name for line in lines("add", asked)] == [
        Path(line).name for line in nix.lines("nix-store", "--add", asked)
    ]
    assert [Path(line).name for line in lines("add", "--flat", str(tree / "tool"))] == [
        Path(line).name
        for line in nix.lines("nix-store", "--add-fixed", "sha256", str(tree / "tool"))
    ]
    nix.lines("nix-store", "--verify", "--check-contents")


def test_roots(graph: list[StorePath], nix: Judge, shape: Any, place: Any) -> None:
    """Nix takes a file that is named like a store path for a root of it."""
    folder = place.root / "var/gcroots/named"
    folder.mkdir(parents=True, exist_ok=True)
    link = place.root / "var/gcroots/mine"
    link.symlink_to(graph[-1].full())
    for path in graph:
        judged = nix.lines("nix-store", "--query", "--roots", path.full())
        ours = {root["source"] for root in shape("roots", path)["roots"]}
        assert ours == {line.split(" -> ")[0] for line in judged}, path
