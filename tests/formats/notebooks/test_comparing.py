import base64
from typing import Any

import pytest

from envtool.formats.notebooks.comparing import Tolerance, compare_cells

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

ONE, TWO = "25fd0162-1b21-4f27-b0d8-74465119f0c4", "c6ae1414-2fed-4307-a06e-67942ad1fd29"
NAN = float("nan")
BYTES, BROKEN = "differs by its bytes", "cannot be read as PNG, JPEG, GIF or WebP"


def code(
    *outputs: dict[str, Any], source: str | list[str] = "x", **metadata: Any
) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [*outputs]}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: Any) -> dict[str, Any]:
    mimes = {name.replace("_", "/").replace("svg", "svg+xml"): each for name, each in data.items()}
    return {"output_type": "display_data", "data": mimes, "metadata": {}}


def pdf(date: str) -> dict[str, Any]:
    data = base64.b64encode(f"%PDF /CreationDate (D:{date}) /Creator (x)".encode()).decode()
    return shown(application_pdf=data)


def error(name: str, value: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": ["x"]}


def differences(
    before: dict[str, Any], after: dict[str, Any], tolerance: float = 1e-6
) -> tuple[str, ...]:
    (report,) = compare_cells([before], [after], Tolerance(relative=tolerance))
    assert report.status == ("differs" if report.differences else "same")
    return report.differences


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (stream("a\n"), stream("a\n")),
        (stream("x = 0.30000000000000004"), stream("x = 0.3")),
        (stream("mean 1.0e-3, n=5"), stream("mean 0.0010000000001, n=5")),
        (stream("<Axes at 0x7f12>"), stream("<Axes at 0x7fff00>")),
        (shown(text_html="<td>1.50</td>"), shown(text_html=["<td>1.5</td>"])),
        (shown(image_svg='<p id="m1"/>url(#m1)'), shown(image_svg='<p id="zz"/>url(#zz)')),
        (shown(application_json={"a": [1.0, "x"]}), shown(application_json={"a": [1, "x"]})),
        (shown(application_json=[1, NAN]), shown(application_json=[1.0000000001, NAN + 1])),
        (shown(image_png=PNG), shown(image_png=PNG + "\n")),
        (shown(application_javascript=f"a('{ONE}')"), shown(application_javascript=f"a('{TWO}')")),
        (shown(**{"application_x+json": ONE}), shown(**{"application_x+json": TWO})),
        (pdf("20260102030405Z"), pdf("20270102030405+01'00'")),
        (error("KeyError", "'a'"), error("KeyError", "'a'")),
    ],
)
def test_these_are_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(code(before), code(after)) == ()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (stream("a\n"), stream("b\n"), "text on stdout differs\n- a\n+ b"),
        (stream("n = 5"), stream("n = 6"), "text on stdout differs\n- n = 5\n+ n = 6"),
        (stream("1.5"), stream("1.6"), "text on stdout differs\n- 1.5\n+ 1.6"),
        (stream("v1.5"), stream("v1.50"), "text on stdout differs\n- v1.5\n+ v1.50"),
        (stream("a\n"), stream("a"), "text on stdout differs\nonly in the ends of its lines"),
        (stream("a"), stream("a", "stderr"), "text on stdout became text on stderr"),
        (stream("a"), error("ValueError", "no"), "text on stdout became the error ValueError: no"),
        (error("A", "x"), error("A", "y"), "the error A differs\n- x\n+ y"),
        (shown(text_plain="a"), shown(text_html="a"), "text/html is new"),
        (
            shown(image_png=PNG),
            shown(image_png="AAAA"),
            f"image/png {BYTES}, and the new one {BROKEN}",
        ),
        (
            shown(image_png="*"),
            shown(image_png=PNG),
            f"image/png {BYTES}, and the recorded one {BROKEN}",
        ),
        (
            shown(image_tiff="AAAA"),
            shown(image_tiff="AAAB"),
            f"image/tiff {BYTES}, and the recorded one {BROKEN}",
        ),
        (shown(audio_wav="MS41"), shown(audio_wav="MS42"), f"audio/wav {BYTES}"),
        (shown(application_json={"a": 1}), shown(application_json=[1]), "application/json differs"),
        (shown(application_json=["a"]), shown(application_json=["b"]), "application/json differs"),
    ],
)
def test_these_differ_and_the_report_says_how(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    assert told in differences(code(before), code(after))


def test_the_tolerance_is_the_users() -> None:
    before, after = code(stream("1.50")), code(stream("1.51"))
    assert differences(before, after, 0.01) == ()
    assert differences(before, after, 0.001) != ()


def test_only_lines_that_differ_are_shown() -> None:
    before = code(stream("0.1\na\n" + "same\n" * 30))
    after = code(stream("0.10000000001\nb\n" + "same\n" * 30))
    assert differences(before, after) == ("text on stdout differs\n- a\n+ b",)
    (long,) = differences(code(stream("a\n" * 9)), code(stream("b\n" * 9)))
    assert long.endswith("\n… and 12 more lines")


@pytest.mark.parametrize(
    "piece", ["x", "1", "1.", "/", "[0<", "[0<0, /", "id=", "\r", "at 0x", "/ipykernel_", "\na"]
)
def test_no_text_takes_more_time_than_by_its_length(piece: str) -> None:
    long = piece * 300_000
    for mime in ("text_plain", "text_html", "application_pdf"):
        (told,) = differences(code(shown(**{mime: long})), code(shown(**{mime: f"{long}w"})))
        assert "differs" in told


def test_numbers_without_end_are_text() -> None:
    (told,) = differences(code(stream("1" * 400 + ".0")), code(stream("2" * 400 + ".0")))
    assert told.startswith("text on stdout differs")


def test_long_outputs_are_compared_in_time_by_their_length() -> None:
    before, after = stream("a\n" * 50_000), stream("a\n" * 49_000 + "b\n" * 3)
    (told,) = differences(code(before), code(after))
    assert told.startswith("text on stdout differs\n- a")


def test_where_a_stream_breaks_does_not_matter() -> None:
    before = code(stream("a\nb\n"), stream("w\n", "stderr"))
    after = code(stream("a\n"), stream("w\n", "stderr"), stream("b\n"))
    assert differences(before, after) == ()


def test_what_came_and_what_went_is_told() -> None:
    assert differences(code(stream("a")), code()) == ("an output is missing now: text on stdout",)
    assert differences(code(), code(error("A", "b"))) == ("an output is new: the error A: b",)


def test_a_cell_that_varies_is_not_compared() -> None:
    before = code(stream("1"), source="# now\n%time x()\nnow()", tags=["varies"])
    (report,) = compare_cells([before], [code(stream("2"))], Tolerance())
    assert (report.number, report.status, report.title) == (1, "varies", "now()")


def test_only_code_cells_with_code_are_reported_by_their_number() -> None:
    text = {"cell_type": "markdown", "source": "# A", "metadata": {}}
    cells = [text, code(source=" \n"), code(source=["print(1)\n", "2"])]
    assert [(each.number, each.title) for each in compare_cells(cells, cells, Tolerance())] == [
        (3, "print(1)")
    ]
