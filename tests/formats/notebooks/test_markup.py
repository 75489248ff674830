import pytest

from envtool.formats.notebooks.markup import comparable

UUID = "1b4e28ba-2fa1-4{}-883f-0016d3cca427"


def same(old: str, new: str) -> bool:
    one, other = comparable(old, new)
    return one == other


@pytest.mark.parametrize(
    "markup",
    [
        '<path id="{}"/><use xlink:href="#{}"/>',
        "<path id='{}'/><use href='#{}'/>",
        '<clipPath id="{}"/><g clip-path="url(#{})"/>',
        '<path id="{}"/><g style="clip-path: url(#{}); fill: none"/>',
        "<style>#{0} th, #{0}:hover, #{0}_row0 {{}}</style><p id='{0}'><i id='{0}_row0'>",
        '<div id="{}"></div><script>draw(document.getElementById("{}"), [1, 2])</script>',
        "<metadata><dc:date>{}</dc:date></metadata><g/>",
        "<svg><metadata\n xmlns='x'>{}</metadata></svg><svg><metadata>{}</metadata></svg>",
    ],
)
def test_names_by_lot_do_not_count(markup: str) -> None:
    assert same(markup.format("p0a1b2c3d4e", "p0a1b2c3d4e"), markup.format("m9f", "m9f"))


def test_uuids_without_hyphens_are_by_lot_at_the_end_of_a_name() -> None:
    markup = '<button onclick="anim{0}.slower()"><img id="_anim_img{0}">'
    one, other = "479a7622f5984ba9b91f7d2887c5d60d", "b88e17d8fb204ab58c9c1f881d84ec96"
    assert same(markup.format(one), markup.format(other))
    assert not same(f"<td>{one}</td>", f"<td>{other}</td>")
    assert not same(f"<td>-{one}00ff</td>", f"<td>-{other}00ff</td>")


def test_uuids_by_lot_do_not_count_and_others_do() -> None:
    markup = '<div id="plot-{0}" data-root="{0}"></div>'
    assert same(markup.format(UUID.format("abc")), markup.format(UUID.format("fed")))
    named = "6ba7b810-9dad-11d1-80b4-00c04fd430c{}"
    assert not same(f"<td>{named.format(7)}</td>", f"<td>{named.format(8)}</td>")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<g id="a1"/><g id="b1"/><use href="#a1"/>', '<g id="a2"/><g id="b2"/><use href="#b2"/>'),
        ('<g id="a"/><g id="b"/><use href="#a"/>', '<g id="a"/><g id="b"/><use href="#b"/>'),
        ('<g id="a"/>', '<g id="a"/><g id="b"/>'),
        ('<g id="a1" fill="#ff0000"/>', '<g id="a2" fill="#ff0001"/>'),
        ('<g id="1" width="1"/>', '<g id="2" width="2"/>'),
        ('<g data-id="red" fill="red"/>', '<g data-id="blue" fill="blue"/>'),
        ('<text id="p1">p1</text>', '<text id="p2">p2</text>'),
        ("<metadata>a</metadata>b", "<metadata>a</metadata>c"),
        ("</metadata>a<metadata>", "</metadata>b<metadata>"),
        ("<metadata>a", "<metadata>b"),
    ],
)
def test_what_means_something_counts(old: str, new: str) -> None:
    assert not same(old, new)


def test_much_markup_takes_time_by_its_length_only() -> None:
    many = "<metadata>" * 200_000
    assert comparable(many, many + "a") == (many, many + "a")
    cells = "".join(f'<td id="T_{{0}}_{number}">#T_{{0}}_{number}</td>' for number in range(50_000))
    assert same(cells.format("0a1b2"), cells.format("f9e8d"))
