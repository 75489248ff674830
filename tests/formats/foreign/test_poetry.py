"""Poetry's lock and pyproject.toml, as Poetry 2.5 writes and reads them."""

from pathlib import Path

from envtool.formats.foreign.poetry import parse_poetry_lock

VECTORS = Path(__file__).parent / "vectors"
LOCK = (VECTORS / "poetry.lock").read_text()
PYPROJECT = (VECTORS / "poetry-pyproject.toml").read_text()


def test_what_the_project_asks_for_counts_and_the_tools_table_says_more() -> None:
    carried = parse_poetry_lock(LOCK, PYPROJECT)
    commit = "874ca2bc1c30d93a4ac6e36a15b53c2cb2f64f0b"
    assert carried.requirements == (
        "rich[jupyter]==15.0.0",
        f"click @ git+https://code.invalid/click@{commit}",
        "tomli==2.2.1 ; (sys_platform == \"linux\") and python_version < '3.12'",
    )
    assert carried.python == ">=3.11,<3.14"
    assert carried.left == (
        "group dev: pytest",
        "extra plot: matplotlib",
        "source own: https://index.invalid/simple/",
    )


def test_without_a_pyproject_groups_stay_behind() -> None:
    carried = parse_poetry_lock(LOCK)
    names = [each.partition("==")[0].partition(" @")[0] for each in carried.requirements]
    assert names == ["click", "rich", "tomli"]
    assert carried.left == ("group dev: pytest",)


def test_files_urls_and_folders_keep_where_they_come_from() -> None:
    source = '[package.source]\ntype = "{}"\nurl = "{}"\n'
    begin = '[[package]]\nname = "a"\nversion = "1"\n'
    far = parse_poetry_lock(begin + source.format("url", "https://h.invalid/a-1.tar.gz"))
    assert far.requirements == ("a @ https://h.invalid/a-1.tar.gz",)
    near = parse_poetry_lock(begin + source.format("directory", "../a"))
    assert (near.requirements, near.projects) == ((), (("../a", False),))
