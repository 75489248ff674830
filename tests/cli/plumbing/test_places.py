"""What a PATH may be, and what is said when it is nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envtool.formats.nix.storepath import StorePath
from envtool.values import replace

ORDINARY = Path(__file__).parents[2] / "machine/children/ordinary.py"
ASK = "from envtool.cli import main; sys.exit(main(sys.argv[2:]))"


def forms(shelf: Any) -> list[str]:
    app = shelf.app1
    return [app.full(), shelf.place(app), app, app[:8], app[:32], app[:20], f"{app}/"]


def test_every_form_of_a_store_path_means_it(shelf: Any, shape: Any) -> None:
    for word in forms(shelf):
        [found] = shape("references", word)["paths"]
        assert found["path"] == shelf.app1.full(), word
        assert found["physical"] == shelf.place(shelf.app1)


def test_links_lead_to_the_object_wherever_they_lie(
    shelf: Any, shape: Any, place: Any, store: Any, tmp_path: Path
) -> None:
    (place.project / "bin").mkdir()
    (place.project / "bin/tool").write_text("hello")
    tree = store.add_tree(str(place.project / "bin"), "tree")
    (tmp_path / "one").symlink_to(store.physical(tree))
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "logical").symlink_to(tree.full())
    (tmp_path / "short").symlink_to(store.settings.store)
    (tmp_path / "here").symlink_to(".")
    words = ["one", "./two", "./here/two", "logical", f"short/{tree}", "two/tool"]
    words += [f"{tmp_path}/here/one", f"{store.settings.store}/./{tree}/tool"]
    for word in words:
        [found] = shape("references", word, cwd=tmp_path)["paths"]
        assert found["path"] == tree.full(), word


def test_below_an_object_it_is_the_one_that_the_file_really_lies_in(
    shelf: Any, store: Any, shape: Any, place: Any
) -> None:
    source = place.project / "forest"
    source.mkdir()
    (source / "zlib").symlink_to(f"../{shelf.zlib}")
    forest = store.add_tree(str(source), "forest")
    [found] = shape("references", f"{forest}/zlib")["paths"]
    assert found["path"] == shelf.zlib.full()


def test_environments_and_generations_are_paths(
    make_generation: Any, place: Any, lines: Any, shape: Any, refusal: Any
) -> None:
    make_generation({"one": "1"})
    make_generation({"two": "2"})
    first, second = (shape("path-info", word)["paths"][0] for word in ("default@1", "default"))
    assert first["path"] != second["path"]
    assert shape("path-info", "default@2")["paths"] == [second]
    assert (
        lines("cat", "default/declaration")
        == Path(place.project, "envtool.toml").read_text().splitlines()
    )
    assert "bin/one" in lines("ls", "-R", "default@1/environment")
    told = refusal("path-info", "default@7")
    assert "environment default has no generation 7; there are: 1, 2" in told
    assert "no store path" not in told


def test_an_environment_without_a_generation_is_told_as_such(
    shelf: Any, refusal: Any, place: Any, tmp_path: Path
) -> None:
    told = refusal("path-info", "default")
    assert told.splitlines() == [
        "error: environment default has no generation yet",
        "hint: envtool switch",
    ]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "'default' is no store path" in refusal("path-info", "default", cwd=elsewhere)
    assert "envtool init" in refusal("path-info", "default@1", cwd=elsewhere)


def test_an_ambiguous_beginning_lists_what_it_may_be(store: Any, refusal: Any) -> None:
    digest = "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs"
    info = store.info(store.add_text("a", b""))
    pair = [StorePath.parse(f"{digest}-one"), StorePath.parse(f"{digest}-two")]
    store.database.register([replace(info, path=path) for path in pair], {})
    told = refusal("path-info", digest[:9])
    assert f"several store paths: {pair[0]}, {pair[1]}" in told


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("zlib", "no store path is 'zlib'; called so are: {zlib}"),
        ("./zlib-1.3", "no store path is './zlib-1.3'; called so are: {zlib}"),
        ("/nix/store/qqqq", "'/nix/store/qqqq' is no store path"),
        ("envtool.toml", "'envtool.toml' leads to no store path"),
        ("zzzzzzzz", "'zzzzzzzz' is no store path"),
        ("", "'' is no store path"),
        ("\x1b[31mred", r"'\x1b[31mred' is no store path"),
        (
            "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-gone",
            "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-gone is not in the store",
        ),
    ],
)
def test_what_is_nothing_is_named_with_what_is_near(
    shelf: Any, refusal: Any, word: str, message: str
) -> None:
    assert message.format(zlib=shelf.zlib) in refusal("path-info", word)


def test_an_unregistered_leftover_is_called_so(shelf: Any, refusal: Any) -> None:
    leftover = "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-left"
    Path(shelf.store.settings.store, leftover).write_text("half")
    assert "is not registered: a leftover" in refusal("ls", leftover)


def test_without_a_store_it_says_so_and_makes_none(refusal: Any, lines: Any, place: Any) -> None:
    told = refusal("path-info", "abcdfghi")
    assert f"there is no store in {place.root} yet" in told
    assert "not in the store" in refusal("closure", "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-app")
    assert lines("roots") == ["no roots: nothing is kept from `envtool gc`"]
    assert not place.root.exists()


def test_a_store_that_cannot_be_written_to_answers(shelf: Any, place: Any) -> None:
    shelf.store.close()
    for folder, _, names in os.walk(place.root):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            os.chmod(path, os.stat(path).st_mode & 0o555)
    for words in (["path-info"], ["closure", "--sizes"], ["cat"], ["ls"], ["roots"], ["graph"]):
        ended = subprocess.run(
            [sys.executable, ORDINARY, ASK, "store", *words, shelf.app1],
            env=place.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), words


def test_no_project_is_needed(shelf: Any, shape: Any) -> None:
    assert shape("path-info", shelf.app1, cwd=Path("/"))["paths"][0]["path"] == shelf.app1.full()


def test_store_paths_are_completed(shelf: Any, envtool: Any, make_generation: Any) -> None:
    make_generation()

    def offered(*words: str) -> list[str]:
        ended = envtool("__complete", "--", "store", *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        return [line.partition("\t")[0] for line in ended.stdout.splitlines()]

    app = shelf.app1
    assert offered("path-info", app[:3]) == [":files", app]
    assert offered("path-info", app.full()[:20]) == [":files", app.full()]
    assert offered("why-depends", "x", shelf.place(app)[:-3]) == [":files", shelf.place(app)]
    assert offered("diff-closures", "def") == [":files", "default", "default@1"]
    assert "why-depends" in offered("wh")
    assert offered("path-info", "./") == [":files"]
