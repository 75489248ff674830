"""pip's requirements files."""

import pytest

from envtool.errors import DeclarationError, Fault
from envtool.formats.foreign.requirements_txt import parse


def nothing(path: str) -> str:
    raise DeclarationError([Fault(path, None, "", "there is no such file")])


def test_requirements_comments_and_continued_lines() -> None:
    text = (
        "# a comment\n\nnumpy>=2  # why\npandas[excel]==2.2.0 \\\n    --hash=sha256:ab \\\n"
        "    --hash=sha256:cd\nsix ; python_version < '3' # never\n"
    )
    carried = parse(text, nothing)
    assert carried.requirements == (
        "numpy>=2",
        "pandas[excel]==2.2.0",
        "six ; python_version < '3'",
    )
    assert carried.left == ()


def test_files_are_included_from_where_they_lie() -> None:
    files = {"more/base.txt": "-r ../other.in\nalpha\n", "other.in": "beta\n-e ./lib\n"}
    carried = parse("-r more/base.txt\ngamma\n", files.__getitem__)
    assert carried.requirements == ("beta", "alpha", "gamma")
    assert carried.projects == (("lib", True),)


def test_a_file_that_includes_itself_ends() -> None:
    carried = parse("-r a.txt\nalpha\n", lambda _: "-r a.txt\nalpha\n", "a.txt")
    assert carried.requirements == ("alpha",)
    assert "included too deeply" in carried.left[0]


def test_what_is_not_there_is_told() -> None:
    told = r"base\.txt:2: includes gone\.txt: there is no such file"
    with pytest.raises(DeclarationError, match=told):
        parse("alpha\n-r gone.txt\n", nothing, "base.txt")


def test_projects_urls_and_the_index() -> None:
    text = (
        "--index-url=https://index.invalid/simple\n-e ../lib[extra]\n./tool\n"
        "https://files.invalid/tiny_thing-1.0-py3-none-any.whl\n"
        "git+https://code.invalid/a.git@v1#egg=alpha\nbeta @ https://x.invalid/b.zip\n"
    )
    carried = parse(text, nothing)
    assert carried.index == "https://index.invalid/simple"
    assert carried.projects == (("../lib", True), ("tool", False))
    assert carried.requirements == (
        "tiny_thing @ https://files.invalid/tiny_thing-1.0-py3-none-any.whl",
        "alpha @ git+https://code.invalid/a.git@v1",
        "beta @ https://x.invalid/b.zip",
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("-c limits.txt", "requirements.txt:1: -c limits.txt"),
        ("--extra-index-url https://b.invalid", "--extra-index-url https://b.invalid"),
        ("--pre", "requirements.txt:1: --pre"),
        ("alpha==${VERSION}", "a variable"),
        ("./dist/a-1.0.tar.gz", "a file on this disk"),
        ("https://x.invalid/what.zip", "write it as 'name @ URL'"),
        ("not a requirement", "is not a requirement"),
    ],
)
def test_what_has_no_word_of_ours_is_left(line: str, told: str) -> None:
    carried = parse(f"{line}\n", nothing)
    assert carried.requirements == ()
    assert told in carried.left[0]
