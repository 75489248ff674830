"""`init --from` and `export`, from end to end."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from envtool.formats.declarations.reading import parse


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any) -> Any:
    index.add(make_wheel("alpha", "1.0", requires=["beta"]))
    index.add(make_wheel("beta", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url, "UV_DEFAULT_INDEX": index.url}
    return index


@pytest.fixture
def empty(place: Any) -> Path:
    """Return the project's folder, without a declaration."""
    (place.project / "envtool.toml").unlink()
    folder: Path = place.project
    return folder


def declared(folder: Path) -> Any:
    path = folder / "envtool.toml"
    return parse(path.read_text(), path=str(path), kind="envtool.toml")


def test_a_requirements_file_becomes_a_declaration(empty: Path, envtool: Any, index: Any) -> None:
    (empty / "lib").mkdir()
    (empty / "lib/pyproject.toml").write_text('[project]\nname = "Lib"\nversion = "1"\n')
    (empty / "requirements.txt").write_text(
        f"-i {index.url}\nalpha>=1\n-e lib\n-c limits.txt\n", encoding="utf-8"
    )
    ended = envtool("init", "--from", "requirements.txt", "--python", "3.11")
    assert ended.returncode == 0, ended.stderr
    assert "not carried over: requirements.txt:4: -c limits.txt" in ended.stderr
    found = declared(empty)
    assert found.requirements == ("alpha>=1", "lib")
    assert found.index == index.url
    assert found.sources[0][1].editable
    assert found.sources[0][1].path == "lib"


def test_what_was_carried_over_can_be_realised(empty: Path, envtool: Any, offering: Any) -> None:
    (empty / "environment.yml").write_text(
        "dependencies: [alpha=1.0, libz]\nvariables: {GREETING: 'he\"i'}\n"
    )
    ended = envtool("init", "--from", "environment.yml", "--json")
    assert json.loads(ended.stdout)["left"] == ["libz (not a package of Python)"]
    assert "`envtool search NAME` looks in Debian" in ended.stderr
    assert envtool("switch").returncode == 0
    ran = envtool("run", "python", "-c", "import alpha, os; print(os.environ['GREETING'])")
    assert ran.stdout == 'he"i\n'


def test_a_virtual_environment_becomes_a_declaration(
    empty: Path, envtool: Any, offering: Any, place: Any
) -> None:
    program = [uv.find_uv_bin(), "-q"]
    environ = {**place.environ, "UV_CACHE_DIR": str(place.home / "uv")}
    subprocess.run(
        [*program, "venv", "-p", sys.executable, ".venv"], cwd=empty, env=environ, check=True
    )
    subprocess.run([*program, "pip", "install", "alpha"], cwd=empty, env=environ, check=True)
    assert envtool("init", "--from", ".venv").returncode == 0
    found = declared(empty)
    assert found.requirements == ("alpha==1.0",)
    assert found.python == f"=={sys.version_info.major}.{sys.version_info.minor}.*"


def test_a_declaration_is_never_overwritten(place: Any, envtool: Any) -> None:
    before = (place.project / "envtool.toml").read_text()
    (place.project / "requirements.txt").write_text("alpha\n")
    ended = envtool("init", "--from", "requirements.txt")
    assert ended.returncode == 1
    assert "is not overwritten" in ended.stderr
    assert (place.project / "envtool.toml").read_text() == before


@pytest.mark.parametrize("name", ["what.xml", "gone.txt", "plain"])
def test_what_cannot_be_carried_over_is_refused(empty: Path, envtool: Any, name: str) -> None:
    (empty / "what.xml").write_text("<a/>")
    (empty / "plain").mkdir()
    ended = envtool("init", "--from", name)
    assert ended.returncode == 1
    assert name in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (empty / "envtool.toml").exists()


def test_a_python_that_says_nothing_is_left(empty: Path, envtool: Any) -> None:
    (empty / "poetry.lock").write_text(
        '[[package]]\nname = "alpha"\nversion = "1"\n[metadata]\npython-versions = "3\\nx=1"\n'
    )
    ended = envtool("init", "--from", "poetry.lock")
    assert ended.returncode == 0, ended.stderr
    assert "not carried over: Python:" in ended.stderr
    assert declared(empty).requirements == ("alpha==1",)


def test_requirements_are_what_pip_checks_hashes_of(
    offering: Any, envtool: Any, place: Any, tmp_path: Path
) -> None:
    assert envtool("add", "alpha").returncode == 0
    ended = envtool("export", "-o", "requirements.txt")
    assert ended.stdout == "wrote requirements.txt\n"
    text = (place.project / "requirements.txt").read_text()
    assert text.count("--hash=sha256:") == 2
    target = tmp_path / "target"
    command = ["pip", "install", "-q", "--require-hashes", "-r", "requirements.txt"]
    subprocess.run(
        [uv.find_uv_bin(), *command, "--target", target, "-p", sys.executable],
        cwd=place.project,
        env={**place.environ, "UV_CACHE_DIR": str(place.home / "uv")},
        check=True,
    )
    assert (target / "alpha").exists() or (target / "alpha.py").exists()
    bare = envtool("export", "--no-hashes").stdout.splitlines()
    assert bare[1:] == ["alpha==1.0", "beta==1.0"]


def test_pip_itself_takes_the_requirements(
    offering: Any, envtool: Any, place: Any, index: Any
) -> None:
    assert envtool("add", "alpha").returncode == 0
    assert envtool("export", "-o", "requirements.txt").returncode == 0
    pip = [
        "run",
        "-q",
        "--no-project",
        "-p",
        sys.executable,
        "--with",
        "pip",
        "python",
        "-m",
        "pip",
    ]
    words = ["--isolated", "install", "--dry-run", "--ignore-installed", "--require-hashes"]
    ended = subprocess.run(
        [uv.find_uv_bin(), *pip, *words, "--index-url", index.url, "-r", "requirements.txt"],
        cwd=place.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Would install alpha-1.0 beta-1.0" in ended.stdout


def test_uv_takes_the_lock_as_it_is(
    offering: Any, envtool: Any, place: Any, tmp_path: Path
) -> None:
    assert envtool("add", "alpha").returncode == 0
    assert envtool("export", "--format", "pylock", "-o", "pylock.other.toml").returncode == 0
    environ = {**place.environ, "UV_CACHE_DIR": str(place.home / "uv")}
    target = str(tmp_path / "target")
    python = ["-p", sys.executable]
    command = [uv.find_uv_bin(), "pip", "sync", "pylock.other.toml", "--target", target, *python]
    subprocess.run(command, cwd=place.project, env=environ, capture_output=True, check=True)
    assert {each.name.partition("-")[0].removesuffix(".py") for each in Path(target).iterdir()} >= {
        "alpha",
        "beta",
    }


def test_a_dockerfile_is_of_instructions_that_docker_knows(
    offering: Any, envtool: Any, place: Any
) -> None:
    assert envtool("add", "alpha").returncode == 0
    text = envtool("export", "--format", "dockerfile").stdout
    instructions = re.findall(r"^([A-Z]+) (.*(?:\n .*)*)", heredocs_out(text), re.MULTILINE)
    assert instructions[0][0] == "FROM"
    assert {word for word, _ in instructions} <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "CMD"}
    for word, rest in instructions:
        if word == "CMD":
            assert isinstance(json.loads(rest), list)
        elif word == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)


def heredocs_out(text: str) -> str:
    """Return a Dockerfile's text without the documents that stand in it."""
    return re.sub(r"<<[\"']?(\w+)[\"']?(.*)\n(?:.*\n)*?\1\n", r"\2\n", text)


def test_local_projects_are_exported_without_hashes(
    offering: Any, envtool: Any, place: Any
) -> None:
    (place.project / "lib").mkdir()
    (place.project / "lib/pyproject.toml").write_text(
        '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = []\n'
        'build-backend = "nothing"\n'
    )
    assert envtool("lock").returncode == 0
    (place.project / "envtool.toml").write_text(
        'name = "demo"\ndependencies = ["lib", "alpha"]\n[sources]\nlib = { path = "lib" }\n'
    )
    assert envtool("lock").returncode == 0
    text = envtool("export").stdout
    assert "--hash" not in text
    assert "\n./lib\n" in text
    docker = envtool("export", "--format", "dockerfile").stdout
    assert 'COPY ["lib", "./lib"]' in docker
    assert "--require-hashes" not in docker


def test_the_bill_of_materials_is_valid_and_the_same_twice(offering: Any, envtool: Any) -> None:
    assert envtool("add", "alpha").returncode == 0
    text = envtool("export", "--format", "cyclonedx").stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert envtool("export", "--format", "cyclonedx").stdout == text
    bill = json.loads(text)
    assert [each["purl"] for each in bill["components"]] == [
        "pkg:pypi/alpha@1.0",
        "pkg:pypi/beta@1.0",
    ]
    assert bill["dependencies"][0] == {"ref": "root", "dependsOn": ["pkg:pypi/alpha@1.0"]}
    assert bill["dependencies"][1]["dependsOn"] == ["pkg:pypi/beta@1.0"]


def test_condas_form_comes_back_as_the_same_packages(
    offering: Any, envtool: Any, place: Any, tmp_path: Path
) -> None:
    assert envtool("add", "alpha").returncode == 0
    assert envtool("export", "--format", "environment", "-o", "environment.yml").returncode == 0
    (tmp_path / "again").mkdir()
    (tmp_path / "again/environment.yml").write_bytes(
        (place.project / "environment.yml").read_bytes()
    )
    assert envtool("init", "--from", "environment.yml", cwd=tmp_path / "again").returncode == 0
    found = declared(tmp_path / "again")
    assert found.requirements == ("alpha==1.0", "beta==1.0")
    assert dict(found.variables) == {"GREETING": "hei"}


def test_the_lock_itself_is_one_of_the_forms(offering: Any, envtool: Any, place: Any) -> None:
    assert envtool("add", "alpha").returncode == 0
    assert envtool("export", "--format", "pylock", "-o", "other.toml").returncode == 0
    lock = (place.project / "pylock.toml").read_text()
    assert (place.project / "other.toml").read_text() == lock


def test_a_stale_lock_is_not_exported(offering: Any, envtool: Any, place: Any) -> None:
    assert "has no lock" in envtool("export").stderr
    assert envtool("add", "alpha").returncode == 0
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace('"alpha"', '"alpha>=1"'))
    ended = envtool("export", "--json")
    assert ended.returncode == 1
    assert "the lock is not for" in json.loads(ended.stdout)["error"]["message"]


def test_a_project_outside_the_folder_has_no_dockerfile(
    offering: Any, envtool: Any, place: Any
) -> None:
    outside = place.project.parent / "lib"
    outside.mkdir()
    (outside / "pyproject.toml").write_text(
        '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = []\n'
        'build-backend = "nothing"\n'
    )
    (place.project / "envtool.toml").write_text(
        'name = "demo"\ndependencies = ["lib"]\n[sources]\nlib = { path = "../lib" }\n'
    )
    assert envtool("lock").returncode == 0
    ended = envtool("export", "--format", "dockerfile")
    assert ended.returncode == 1
    assert "../lib lies outside the folder that Docker builds from" in ended.stderr
