"""The index a host is set up for is the one that uv and pip would take."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from envtool.machine.fetching.index import configured_index

URL = "https://index.example.org/simple/"


def configuration(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "environ",
    [
        {"ENVTOOL_INDEX_URL": URL, "UV_DEFAULT_INDEX": "https://other.example.org/"},
        {"UV_DEFAULT_INDEX": URL, "UV_INDEX_URL": "https://other.example.org/"},
        {"UV_DEFAULT_INDEX": f"my-index={URL}"},
        {"UV_INDEX_URL": URL, "PIP_INDEX_URL": "https://other.example.org/"},
        {"PIP_INDEX_URL": f" {URL} "},
    ],
)
def test_variables_go_in_their_order(environ: Mapping[str, str]) -> None:
    assert configured_index(environ) == URL


def test_an_equals_sign_in_a_url_is_part_of_it() -> None:
    url = "https://index.example.org/simple/?key=value"

    assert configured_index({"UV_DEFAULT_INDEX": url}) == url


@pytest.mark.parametrize("section", ["global", "install"])
@pytest.mark.parametrize("key", ["index-url", "index_url"])
@pytest.mark.parametrize("place", [".config/pip/pip.conf", ".pip/pip.conf"])
def test_pips_configuration_of_the_user_is_read(
    tmp_path: Path, place: str, key: str, section: str
) -> None:
    configuration(tmp_path / place, f"[{section}]\n{key} = {URL}\n")

    assert configured_index({"HOME": str(tmp_path)}) == URL


def test_the_file_pip_is_told_of_goes_first(tmp_path: Path) -> None:
    configuration(tmp_path / ".config/pip/pip.conf", "[global]\nindex-url = https://other/\n")
    named = configuration(tmp_path / "named.conf", f"[global]\nindex-url = {URL}\n")

    assert configured_index({"HOME": str(tmp_path), "PIP_CONFIG_FILE": named}) == URL


def test_pip_told_of_no_file_reads_none(tmp_path: Path) -> None:
    configuration(tmp_path / ".config/pip/pip.conf", f"[global]\nindex-url = {URL}\n")

    assert configured_index({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}) is None


@pytest.mark.parametrize("content", [b"no section", b"\xff\xfe", b"[global]\nindex-url =\n"])
def test_a_file_that_says_nothing_is_passed_over(tmp_path: Path, content: bytes) -> None:
    named = tmp_path / "named.conf"
    named.write_bytes(content)
    configuration(tmp_path / ".pip/pip.conf", f"[global]\nindex-url = {URL}\n")

    assert configured_index({"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(named)}) == URL


def test_percent_signs_in_a_url_stay(tmp_path: Path) -> None:
    url = "https://user:p%40ss@index.example.org/simple/"
    configuration(tmp_path / ".pip/pip.conf", f"[global]\nindex-url = {url}\n")

    assert configured_index({"HOME": str(tmp_path)}) == url
