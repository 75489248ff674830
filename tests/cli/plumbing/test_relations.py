"""References, referrers, closures, roots, chains and graphs, as the program prints them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.store import Text
from envtool.values import replace


def test_references_and_referrers_are_one_path_to_a_line(shelf: Any, lines: Any) -> None:
    both = sorted(map(shelf.place, [shelf.libc, shelf.zlib]))
    assert lines("references", shelf.app1) == both
    assert lines("references", shelf.app1, shelf.app2, shelf.zlib) == both
    assert lines("references", shelf.libc) == []
    users = [shelf.app1, shelf.app2]
    assert lines("referrers", shelf.zlib) == sorted(map(shelf.place, users))
    everything = sorted(map(shelf.place, [shelf.libc, shelf.zlib, *users]))
    assert lines("referrers", "--closure", shelf.libc) == everything


def test_json_tells_what_belongs_to_which(shelf: Any, shape: Any) -> None:
    assert shape("references", shelf.zlib, shelf.libc) == {
        "paths": [
            {
                "path": shelf.zlib.full(),
                "physical": shelf.place(shelf.zlib),
                "references": [shelf.libc.full()],
            },
            {"path": shelf.libc.full(), "physical": shelf.place(shelf.libc), "references": []},
        ]
    }
    [found] = shape("referrers", shelf.libc)["paths"]
    assert found["referrers"] == sorted([shelf.app1.full(), shelf.zlib.full()])


def test_closure_shows_own_and_closure_sizes(shelf: Any, lines: Any, shape: Any) -> None:
    assert lines("closure", shelf.app2) == sorted(
        map(shelf.place, [shelf.libc, shelf.zlib, shelf.app2])
    )
    told = shape("closure", "--sizes", shelf.app2)
    own = {each["path"]: each["nar_size"] for each in told["paths"]}
    whole = {each["path"]: each["closure_size"] for each in told["paths"]}
    assert own[shelf.libc.full()] == whole[shelf.libc.full()] == 120
    assert whole[shelf.app2.full()] == told["size"] == sum(own.values())
    assert [each["nar_size"] for each in told["paths"]] == sorted(own.values(), reverse=True)
    printed = lines("closure", "--sizes", shelf.app2)
    assert re.fullmatch(rf"16\.. kB +17\.. kB  {shelf.place(shelf.app2)}", printed[0])
    assert printed[-1].split() == [*printed[0].split()[2:4], "altogether"]


def test_roots_are_listed_and_told_by_what_they_keep(
    shelf: Any, lines: Any, shape: Any, place: Any
) -> None:
    link = place.root / "var/gcroots/mine"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(shelf.place(shelf.app1))
    told = shape("roots", shelf.libc)
    assert told["path"] == shelf.libc.full()
    [root] = told["roots"]
    assert root == {
        "path": shelf.app1.full(),
        "physical": shelf.place(shelf.app1),
        "kind": "permanent",
        "source": str(link),
    }
    assert f"permanent  {link} -> {shelf.place(shelf.app1)}" in lines("roots")
    assert lines("roots", shelf.app2) == [
        f"nothing keeps {shelf.app2}: `envtool gc` would delete it"
    ]


def test_a_running_process_is_a_root(shelf: Any, shape: Any) -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    with (
        open(shelf.place(shelf.app2), "rb") as file,
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        opened = f"/proc/{child.pid}/fd/{file.fileno()}"
        found = {root["source"] for root in shape("roots", shelf.zlib)["roots"]}
        child.communicate()
    assert opened in found


def test_why_depends_shows_the_chain_and_the_files(
    shelf: Any, store: Any, lines: Any, shape: Any, place: Any
) -> None:
    source = place.project / "tree"
    (source / "lib").mkdir(parents=True)
    (source / "lib/one").write_text(shelf.app2.full())
    (source / "lib/two").symlink_to(f"../../{shelf.app2}")
    added = store.add_tree(str(source), "tree")
    # `add_tree` scans for no references: this one has some.
    path = StorePath.parse(f"{added[:31]}z-tree")
    tree = replace(store.info(added), path=path, references=frozenset({shelf.app2}))
    os.rename(shelf.place(added), shelf.place(tree.path))
    store.database.register([tree], {})
    assert lines("why-depends", tree.path, shelf.libc) == [
        shelf.place(tree.path),
        "  lib/one",
        "  lib/two (a link)",
        f"└───{shelf.place(shelf.app2)}",
        "      the object itself",
        f"    └───{shelf.place(shelf.zlib)}",
        "          the object itself",
        f"        └───{shelf.place(shelf.libc)}",
    ]
    chain = shape("why-depends", tree.path, shelf.libc)["chain"]
    assert [each["reference"] for each in chain] == [
        shelf.app2.full(),
        shelf.zlib.full(),
        shelf.libc.full(),
    ]
    assert chain[0]["found"] == [
        {"file": "lib/one", "how": "contents"},
        {"file": "lib/two", "how": "target"},
    ]


def test_why_depends_all_draws_every_way(shelf: Any, lines: Any, shape: Any) -> None:
    top = shelf.store.add_text("top", b"", [shelf.app1, shelf.app2])
    app1, app2, zlib, libc = map(shelf.place, [shelf.app1, shelf.app2, shelf.zlib, shelf.libc])
    assert lines("why-depends", "--all", top, shelf.libc) == [
        shelf.place(top),
        f"└───{app1}",
        f"    └───{libc}",
        f"    └───{zlib}",
        f"        └───{libc}",
        f"└───{app2}",
        f"    └───{zlib}  (*)",
    ]
    edges = shape("why-depends", "--all", top, shelf.libc)["references"]
    assert {"path": shelf.zlib.full(), "reference": shelf.libc.full()} in edges
    assert len(edges) == 6


def test_chain_that_is_deeper_than_a_screen_is_wide_is_numbered(store: Any, lines: Any) -> None:
    texts: list[Text] = []
    below = frozenset[StorePath]()
    for number in range(3000):
        data = "".join(path.full() for path in below).encode()
        texts.append(Text(f"t{number}", data, below))
        below = frozenset({make_text(f"t{number}", data, below)})
    paths = store.add_texts(texts)
    for words in ([], ["--all"]):
        told = lines("why-depends", *words, paths[-1], paths[0])
        assert len(told) >= 3000
        assert max(map(len, told)) < 1000
        assert re.fullmatch(r" {200}2998 └───.*-t0", told[-1])


def test_what_is_not_needed_is_an_error(shelf: Any, refusal: Any) -> None:
    told = refusal("why-depends", shelf.libc, shelf.app1)
    assert f"{shelf.libc} does not need {shelf.app1}" in told
    assert "hint: envtool store closure" in told


def test_graph_is_dot_the_same_every_time(shelf: Any, lines: Any, shape: Any) -> None:
    text = lines("graph", shelf.app1, shelf.app2)
    assert text == lines("graph", shelf.app2, shelf.app1)
    edges = re.findall(r'^  "(.+)" -> "(.+)";$', "\n".join(text), re.MULTILINE)
    wanted = [(shelf.app1, shelf.libc), (shelf.app1, shelf.zlib)]
    wanted += [(shelf.app2, shelf.zlib), (shelf.zlib, shelf.libc)]
    assert sorted(edges) == sorted(wanted)
    assert f'  "{shelf.libc}" [label = "libc-2.36\\n120 B"];' in text
    nodes = {each["path"]: each["references"] for each in shape("graph", shelf.zlib)["paths"]}
    assert nodes == {shelf.zlib.full(): [shelf.libc.full()], shelf.libc.full(): []}


def test_graph_draws_with_graphviz_or_says_what_is_missing(
    shelf: Any, lines: Any, refusal: Any, place: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    told = refusal("graph", "--svg", shelf.app1, environ={"PATH": str(folder)})
    assert "graphviz' program dot" in told
    assert "hint: install graphviz" in told
    (folder / "dot").write_text("#!/bin/sh\necho '<svg>'; exec /usr/bin/env cat\n")
    (folder / "dot").chmod(0o755)
    picture = lines("graph", "--svg", shelf.app1, environ={"PATH": f"{folder}:/usr/bin:/bin"})
    assert picture[:2] == ["<svg>", "digraph closure {"]


def test_lines_stay_lines_on_a_terminal(shelf: Any, spawn: Any) -> None:
    for words in (["graph"], ["path-info"], ["closure", "--sizes"], ["why-depends", shelf.app1]):
        child = spawn("store", *words, shelf.libc)
        printed = child.read()
        child.wait()
        assert child.exitstatus == 0
        assert len(printed.splitlines()) > 1, words
        assert "\\n" not in printed.replace("\\n120 B", ""), words
