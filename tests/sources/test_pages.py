"""Pages of an index: which files they offer, and which is the newest."""

import pytest

from envtool.sources.pages import Offered, is_name, newest, normalised, offered, summary_of

URL = "https://index.example/simple/tiny/"
PAGE = """<!DOCTYPE html><html><body>
<a href="../../files/tiny-1.0-py3-none-any.whl#sha256=0" data-core-metadata="sha256=1">tiny</a><br/>
<a href='https://files.example/tiny-2.0.tar.gz?a=1&amp;b=2' data-requires-python=">=3.9, <4">x</a>
<A HREF="tiny-3.0-py3-none-any.whl" data-yanked="broken">tiny</A>
<a href="tiny-4.0rc1-py3-none-any.whl" data-dist-info-metadata="true">tiny</a>
<a href="tiny-1.5-py3-none-any.whl" data-core-metadata="false">tiny</a>
<a href="tiny-1.0.exe">tiny</a> <a href="../">up</a> <a name="here">no link</a>
</body></html>"""


def test_files_are_found_with_their_version_and_place() -> None:
    assert offered(PAGE, URL) == (
        Offered(
            "tiny-1.0-py3-none-any.whl",
            "https://index.example/files/tiny-1.0-py3-none-any.whl",
            "1.0",
            has_metadata=True,
        ),
        Offered("tiny-2.0.tar.gz", "https://files.example/tiny-2.0.tar.gz?a=1&b=2", "2.0", False),
        Offered(
            "tiny-4.0rc1-py3-none-any.whl", f"{URL}tiny-4.0rc1-py3-none-any.whl", "4.0rc1", True
        ),
        Offered("tiny-1.5-py3-none-any.whl", f"{URL}tiny-1.5-py3-none-any.whl", "1.5", False),
    )


def test_the_newest_is_no_prerelease_unless_there_is_nothing_else() -> None:
    files = offered(PAGE, URL)
    assert newest(files) == files[1]
    assert newest(files[2:3]) == files[2]
    assert newest([]) is None


def test_of_one_version_that_with_metadata_is_taken_and_then_a_wheel() -> None:
    source = Offered("tiny-1.tar.gz", "u", "1", has_metadata=False)
    wheel = Offered("tiny-1-py3-none-any.whl", "u", "1", has_metadata=False)
    told = Offered("tiny-1-cp311-none-any.whl", "u", "1", has_metadata=True)
    assert newest([source, wheel, told]) == told
    assert newest([source, wheel]) == wheel


@pytest.mark.parametrize("page", ["", "<a href=", '<a href="', "<a>" * 5, "\0", "<a href='\"'>"])
def test_what_is_no_page_offers_nothing(page: str) -> None:
    assert offered(page, URL) == ()


@pytest.mark.parametrize(
    ("metadata", "summary"),
    [
        ("Name: a\nSummary: what it is\n\nSummary: no", "what it is"),
        ("Name: a\r\nsummary:  what it is \r\n\r\ntext", "what it is"),
        ("Name: a\n\nSummary: no", ""),
        ("", ""),
    ],
)
def test_the_summary_is_in_the_head_of_the_metadata(metadata: str, summary: str) -> None:
    assert summary_of(metadata) == summary


def test_names_are_those_of_pep_508() -> None:
    assert normalised("Ruamel._Yaml") == "ruamel-yaml"
    assert [bool(is_name(each)) for each in ("a", "A.b-1", "-a", "a/b", "ä", "")] == [
        *(True, True),
        *(False, False, False, False),
    ]
