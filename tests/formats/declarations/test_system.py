"""`[system]`: what it may hold, what it decides about, and what is wrong with it."""

import pytest

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import Declaration, SystemChoice, lock_digest
from envtool.formats.declarations.reading import parse


def declared(text: str, environment: str = "default") -> Declaration:
    path = "/project/envtool.toml"
    return parse(text, path=path, kind="envtool.toml", environment=environment)


def faults(text: str) -> str:
    with pytest.raises(DeclarationError) as caught:
        declared(text)
    return caught.value.message


def test_packages_are_sorted_and_the_interpreter_is_then_one_of_our_own() -> None:
    found = declared('[system]\npackages = ["graphviz", "git (>= 1:2.39)", "git (>= 1:2.39)"]\n')
    assert found.system == SystemChoice(("git (>= 1:2.39)", "graphviz"), None, ())
    assert found.closed == ("debian", "standalone")
    assert declared("").closed == ()
    assert declared("[system]\npackages = []\n").system is None


def test_suite_and_failures_that_are_allowed() -> None:
    text = '[system]\npackages = ["git"]\nsuite = "trixie"\nallow-failures = ["b", "a0"]\n'
    assert "'b' is not the name of a package of Debian" in faults(text)
    found = declared(text.replace('"b", ', ""))
    assert found.system == SystemChoice(("git",), "trixie", ("a0",))


def test_components_are_main_or_those_that_are_named() -> None:
    text = '[system]\npackages = ["git"]\n'
    usual = declared(text)
    named = declared(text + 'components = ["main"]\n')
    others = declared(text + 'components = ["non-free", "main", "contrib"]\n')
    assert usual.system is not None
    assert usual.system.components == ("main",)
    assert lock_digest(named) == lock_digest(usual) != lock_digest(others)
    assert others.system is not None
    assert others.system.components == ("contrib", "main", "non-free")


def test_environments_have_them_with_the_base_only() -> None:
    text = '[system]\npackages = ["git"]\n[env.ci]\n[env.bare]\nbase = false\n'
    assert declared(text, "ci").system is not None
    assert declared(text, "bare").system is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('interpreter = "host"\n[system]\npackages = ["git"]', "interpreter: the host's"),
        ('[system]\npackages = ["Git!"]', "system.packages: 'Git!' is not the name"),
        ("[system]\npackage = []", "system.package: unknown key; did you mean 'packages'?"),
        ('[system]\nsuite = "trixie"', "system.packages: is missing"),
        ('[system]\npackages = ["git"]\nsuite = "Trixie!"', "is not the name of a suite"),
        ('[system]\npackages = ["git"]\ncomponents = ["Main"]', "'Main' is not the name of a part"),
        ('[system]\npackages = ["git"]\ncomponents = []', "system.components: is empty"),
        ('[system]\npackages = "git"', "system.packages: expected an array of strings"),
        ("system = 3", "system: expected a table"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    assert words in faults(text)


def test_what_is_declared_decides_about_the_lock() -> None:
    texts = (
        "",
        '[system]\npackages = ["git"]',
        '[system]\npackages = ["git", "graphviz"]',
        '[system]\npackages = ["git"]\nsuite = "trixie"',
        '[system]\npackages = ["git"]\nallow-failures = ["git"]',
    )
    assert len({lock_digest(declared(text)) for text in texts}) == len(texts)
