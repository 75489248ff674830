"""What Debian's archive cannot give, told by `envtool lock` in a sentence with a way out."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from cli.conftest import Place
    from fixtures.mirror import Mirror

    Run = Callable[..., CompletedProcess[str]]

RUNTIME = ("libc6", "libgcc-s1", "libstdc++6", "python3.11")
"""What every interpreter of our own needs."""


@pytest.fixture
def lock(mirror: "Mirror", place: "Place", envtool: "Run", tmp_path: Path) -> "Run":
    """Lock a project that asks for packages, of a suite that has them."""
    place.environ |= {
        "ENVTOOL_DEBIAN_MIRROR": mirror.url,
        "ENVTOOL_DEBIAN_KEYS": str(tmp_path / "key.pgp"),
        "ENVTOOL_DEBIAN_CHECK_AGE": "0",
    }

    def run(packages: str, *stanzas: str, **fields: str) -> "CompletedProcess[str]":
        mirror.fields = fields
        runtime = (mirror.stanza(name, "3.11.2", depends="libc6") for name in RUNTIME)
        mirror.publish(*runtime, *stanzas)
        (place.project / "envtool.toml").write_text(
            'interpreter = "debian/tested"\ndependencies = []\n'
            f'[system]\nsuite = "tested"\npackages = [{packages}]\n'
        )
        return envtool("lock")

    return run


def test_packages_that_conflict_are_named_with_who_asks(mirror: "Mirror", lock: "Run") -> None:
    ended = lock(
        '"till", "ledger"', mirror.stanza("till", conflicts="ledger"), mirror.stanza("ledger")
    )
    assert ended.returncode == 1
    assert "till 1.0 conflicts with ledger, which is asked for" in ended.stderr
    assert "ask for one of them only: ledger, till" in ended.stderr


def test_a_suite_that_lacks_a_package_says_which_has_it(mirror: "Mirror", lock: "Run") -> None:
    mirror.fields = {"Suite": "testing", "Codename": "newer"}
    mirror.publish(mirror.stanza("novelty", "2.0"), suite="newer")
    shutil.copytree(mirror.suite("newer"), mirror.suite("testing"))
    ended = lock('"novelty"')
    assert ended.returncode == 1
    assert "tested has no package novelty" in ended.stderr
    assert "the suite testing has novelty 2.0" in ended.stderr


def test_that_debian_is_asked_is_seen(lock: "Run", place: "Place") -> None:
    place.environ["ENVTOOL_PROGRESS"] = "lines"
    ended = lock('"novelty"')
    assert ended.returncode == 1
    assert ended.stderr.startswith("resolving\nerror: novelty is asked for")


def test_a_release_file_past_its_time_is_refused(
    mirror: "Mirror", lock: "Run", place: "Place"
) -> None:
    del place.environ["ENVTOOL_DEBIAN_CHECK_AGE"]
    ended = lock('"tool"', **{"Valid-Until": mirror.when(0)})
    assert ended.returncode == 1
    assert "tested/InRelease counted until 19700101T000000Z: it is old" in ended.stderr
    assert "ENVTOOL_DEBIAN_CHECK_AGE=0" in ended.stderr


def test_a_bad_signature_is_refused(mirror: "Mirror", lock: "Run", envtool: "Run") -> None:
    assert lock('"tool"', mirror.stanza("tool")).returncode == 0
    release = mirror.suite("tested") / "InRelease"
    release.write_bytes(release.read_bytes().replace(b"Origin: Tests", b"Origin: Other"))
    ended = envtool("lock", "--upgrade")
    assert ended.returncode == 1
    assert "tested/InRelease" in ended.stderr
    assert "ask another mirror" in ended.stderr


def test_an_index_that_is_not_what_was_signed_is_refused(
    mirror: "Mirror", lock: "Run", envtool: "Run"
) -> None:
    assert lock('"tool"', mirror.stanza("tool")).returncode == 0
    lock('"other"', mirror.stanza("other"))
    mirror.by_hash = False
    shutil.rmtree(mirror.suite("tested"))
    mirror.publish(mirror.stanza("tool", "2.0"), date=mirror.now)
    path = mirror.suite("tested") / "main/binary-amd64/Packages.xz"
    path.write_bytes(path.read_bytes()[:-4] + b"junk")
    ended = envtool("lock", "--upgrade")
    assert ended.returncode == 1
    assert "main/binary-amd64/Packages.xz of tested cannot be had" in ended.stderr


def test_a_component_that_the_suite_lacks_is_named(
    mirror: "Mirror", lock: "Run", place: "Place", envtool: "Run"
) -> None:
    lock('"tool"', mirror.stanza("tool"))
    path = place.project / "envtool.toml"
    path.write_text(path.read_text() + 'components = ["main", "contrib"]\n')
    ended = envtool("lock", "--upgrade")
    assert ended.returncode == 1
    assert "the suite tested has no component 'contrib'" in ended.stderr
    assert "it has main" in ended.stderr
