"""Derivations: the `.drv` files and paths of Nix 2.8.0, and texts that must be refused."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.nix import aterm
from envtool.formats.nix.derivation import (
    Derivation,
    Output,
    check_output_paths,
    derivation_path,
    hash_modulo,
    parse,
    render,
    with_output_paths,
)
from envtool.formats.nix.hashing import Hash, to_nix32
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.values import replace

NIX = "/nix/store"
VECTORS = Path(__file__).parent / "vectors"


def read_vectors() -> dict[StorePath, str]:
    """Return the `.drv` texts that Nix wrote, by their store paths."""
    pattern = re.compile(r"^drvPath (\S+)\n\[.*?\](Derive\(.*\))$", re.MULTILINE)
    found = pattern.findall((VECTORS / "out.txt").read_text())
    return {StorePath.parse_full(path, NIX): text for path, text in found}


TEXTS = read_vectors()
PATHS = {path.name.removesuffix(".drv"): path for path in TEXTS}
FODS = [path for path in TEXTS if path.name == "fod.drv"]
FOO, FOD, MULTI = (TEXTS[path] for path in (PATHS["foo"], FODS[0], PATHS["multi-1.0"]))


def vector(path: StorePath) -> Derivation:
    return parse(TEXTS[path], path.name.removesuffix(".drv"), NIX)


def lookup(path: StorePath) -> str:
    return hash_modulo(vector(path), lookup, NIX)


def without_paths(derivation: Derivation) -> Derivation:
    outputs = {name: replace(output, path=None) for name, output in derivation.outputs.items()}
    variables = {key: text for key, text in derivation.environment.items() if key not in outputs}
    return replace(derivation, outputs=outputs, environment=variables)


def simple(environment: Mapping[str, str], arguments: tuple[str, ...] = ()) -> Derivation:
    return Derivation(
        name="simple",
        outputs={"out": Output(None)},
        input_derivations={},
        input_sources=frozenset(),
        system="x86_64-linux",
        builder="/bin/sh",
        arguments=arguments,
        environment=environment,
    )


def test_every_vector_was_read() -> None:
    digests = [path.digest for path in TEXTS]
    assert digests == [
        "rm9v4vd19fmxa6jwy1pz47af8k058rf2",  # D1 foo
        "pj036w6q9nycfw2iwxsr9ga44vyxdb34",  # D2 fod
        "v10q9f5ni51rics9lcl08slr9r62p7yz",  # D3 fod by another builder
        "w37s925g5xhgm0vxwidjzjb9bfbzx8ba",  # D4 fodr
        "c0f8aq84fisgjh32vi4m46dqzn90sqzx",  # recursive sha1
        "yha7jfxddmgp3wpfl87h0wqsmg49azac",  # D5 multi-1.0
        "q5v413kvxb2yny1nga5zm6pbvgrgqv79",  # D6 user
        "h41x6yl64pa3jv1z8z65g2dgn8sdi0f1",  # D7 user of D3
        "wwid3is0zrhixmxkfsks878j63lpc9r1",  # D8 esc
        "p7zmyv9yl312amq738y84hdqjq4da28b",  # D9 sa
        "71zk9020ndj6kjp5dlg0k99am7bdcdlm",  # D11 deep
        "k5b9rwk4jmyzm5ncpisls5jnzb8s165x",  # D10 ph
        "c4wkf37xs7z2y3ffwx3cy42xy2zpvryb",  # D12 srcs
    ]


@pytest.mark.parametrize("path", TEXTS)
def test_parsed_derivation_renders_as_nix_wrote_it(path: StorePath) -> None:
    assert render(vector(path), NIX) == TEXTS[path]


@pytest.mark.parametrize("path", TEXTS)
def test_derivation_lies_where_nix_put_it(path: StorePath) -> None:
    assert derivation_path(vector(path), NIX) == path


@pytest.mark.parametrize("path", TEXTS)
def test_output_paths_are_the_ones_nix_computed(path: StorePath) -> None:
    expected = vector(path)
    assert with_output_paths(without_paths(expected), lookup, NIX) == expected
    assert with_output_paths(expected, lookup, NIX) == expected
    check_output_paths(expected, lookup, NIX)


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("foo", "out", "dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd-foo"),
        ("fod", "out", "rcz8aqa9lzcygdcn1q53xz03vc3svrcp-fod"),
        ("fodr", "out", "0n7b5gqzii0iqjam89f0wj4j6civhqmz-fodr"),
        ("multi-1.0", "out", "v50v8mkybb3gihj8dydr8mxkb3qf2wsc-multi-1.0"),
        ("multi-1.0", "dev", "2ai37q829xs8idfa0ggd6jz1kawvl4l3-multi-1.0-dev"),
        ("multi-1.0", "doc", "qsr7nn5vz9zvbl1a4zy1c817apgb03b1-multi-1.0-doc"),
        ("user", "out", "j6wap6aifkn2wf9zr7w7kxw26r7m0y8h-user"),
        ("esc", "out", "824p1dhpfgii35ydiwwmfxxwc9m1jd9l-esc"),
        ("sa", "out", "cla06j2yv1ig2wghnjjhqx712gdh7hn1-sa"),
        ("deep", "out", "0pgyklj0lpfq50rvw75c1qmn51wbfnkc-deep"),
        ("srcs", "out", "aab2sbkzpl7rqdvs534r12i3s7ys8myg-srcs"),
    ],
)
def test_output_paths_of_the_table(name: str, output: str, expected: str) -> None:
    derivation = with_output_paths(without_paths(vector(PATHS[name])), lookup, NIX)
    assert derivation.output_path(output) == expected


def test_builders_of_the_same_fixed_output_lead_to_the_same_paths_downstream() -> None:
    users = [path for path in TEXTS if path.name == "user.drv"]
    first, second = map(vector, users)
    assert first.input_derivations != second.input_derivations
    assert first.output_path() == second.output_path()
    assert lookup(users[0]) == lookup(users[1])


def test_inputs_that_hash_alike_are_merged() -> None:
    fod, other = FODS
    one = replace(simple({}), input_derivations={fod: ("out",)})
    both = replace(simple({}), input_derivations={other: ("out",), fod: ("out",)})
    paths = [with_output_paths(derivation, lookup, NIX) for derivation in (one, both)]
    assert paths[0].output_path() == paths[1].output_path()


def test_placeholders_are_the_hash_of_the_outputs_name() -> None:
    placeholder = vector(PATHS["ph"]).environment["d"]
    assert placeholder == "/" + to_nix32(Hash.of(b"nix-output:out").digest)
    assert to_nix32(Hash.of(b"nix-output:dev").digest) == (
        "02qcpld1y6xhs5gz9bchpxaw0xdhmsp5dv88lh25r2ss44kh8dxz"
    )


def test_references_are_the_inputs_and_never_the_outputs() -> None:
    references = vector(PATHS["multi-1.0"]).references()
    assert references == {PATHS["foo"], FODS[0], make_text("foo", b"bar", store_dir=NIX)}


def test_fixed_output_knows_its_content() -> None:
    fixed = vector(PATHS["fodr1"]).fixed_output
    assert fixed is not None
    assert (fixed.algorithm, fixed.digest) == ("r:sha1", "0deb52c2735eb38d360f976b7b3823c4ad05cce7")
    assert vector(PATHS["multi-1.0"]).fixed_output is None


def test_missing_output_is_named() -> None:
    with pytest.raises(FormatError, match="foo has no output path for 'dev'"):
        vector(PATHS["foo"]).output_path("dev")
    with pytest.raises(FormatError, match="simple has no output path for 'out'"):
        simple({}).output_path()


def test_order_of_the_mappings_does_not_matter() -> None:
    derivation = vector(PATHS["multi-1.0"])
    turned = replace(
        derivation,
        outputs=dict(reversed(list(derivation.outputs.items()))),
        input_derivations=dict(reversed(list(derivation.input_derivations.items()))),
        environment=dict(reversed(list(derivation.environment.items()))),
    )
    assert render(turned, NIX) == MULTI


def test_variables_are_sorted_by_their_bytes() -> None:
    raw = b"\xff".decode(errors="surrogateescape")
    text = render(
        simple({raw: "1", "\N{GRINNING FACE}": "2", "\N{FULLWIDTH EXCLAMATION MARK}": "3"})
    )
    values = re.findall(r'"([123])"', text)
    assert values == ["3", "2", "1"]


def test_backslash_before_any_other_character_means_that_character() -> None:
    text = render(simple({"key": "v"})).replace('"v"', r'"\a\é\/\"\\\n"')
    assert parse(text, "simple").environment == {"key": 'aé/"\\\n'}


def test_truncation_at_every_offset_is_refused() -> None:
    for size in range(len(MULTI)):
        with pytest.raises(FormatError):
            parse(MULTI[:size], "multi-1.0", NIX)


OUT = '("out","/nix/store/dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd-foo","","")'
CONTENT = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
INPUT = '("/nix/store/rm9v4vd19fmxa6jwy1pz47af8k058rf2-foo.drv",["out"])'
SOURCE = '"/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"'


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (FOO, "Derive(", 'DrvWithVersion("xp-dyn-drv",'),
        (FOO, "Derive(", " Derive("),
        (FOO, "Derive(", "derive("),
        (FOO, ',"x86_64-linux"', ', "x86_64-linux"'),
        (FOO, ',"x86_64-linux"', ""),
        (FOO, '"-c",', '"-c",,'),
        (FOO, '"-c",', '"-c"'),
        (FOO, '["-c"', '[,"-c"'),
        (FOO, '("name","foo")', '("name","foo","bar")'),
        (FOO, '("name","foo")', '("name")'),
        (FOO, '("name","foo")', '("name","fo\0o")'),
        (FOO, '("name","foo")', '("name","foo\\\0")'),
        (FOO, '("name","foo")', '("name","foo\\")'),
        (FOO, '("name","foo")', '("name",foo)'),
        (FOO, '("name","foo")', '("name","foo"),("name","foo")'),
        (FOO, '("name","foo")', '("name","foo"),'),
        (FOO, f"[{OUT}]", f"[{OUT},{OUT}]"),
        (FOO, f"[{OUT}]", "[]"),
        (FOO, "/nix/store/dcqg", "/gnu/store/dcqg"),
        (FOO, "/nix/store/dcqg", "/nix/store/../store/dcqg"),
        (FOO, "/nix/store/dcqg", "dcqg"),
        (FOO, 'rnd-foo","",""', 'rnd-foo/bin","",""'),
        (FOO, 'rnd-foo","",""', 'rnd-foo","sha256",""'),
        (FOO, 'rnd-foo","",""', 'rnd-foo","r:sha256",""'),
        (FOO, 'rnd-foo","",""', f'rnd-foo","","{CONTENT}"'),
        (FOO, '"",""', '"r:",""'),
        (FOD, '"sha256",', '"sha3",'),
        (FOD, '"sha256",', '"R:sha256",'),
        (FOD, '"sha256",', '"sha512",'),
        (FOD, f'"sha256","{CONTENT}"', f'"sha256","sha256:{CONTENT}"'),
        (FOD, f'"sha256","{CONTENT}"', f'"sha256","{CONTENT.upper()}"'),
        (FOD, f'"sha256","{CONTENT}"', f'"sha256","{Hash.of(b"").nix32}"'),
        (FOD, f'"{CONTENT}")]', f'"{CONTENT}"),("dev","","","")]'),
        (FOD, '[("out",', '[("dev",'),
        (MULTI, INPUT, f"{INPUT},{INPUT}"),
        (MULTI, f"{INPUT}]", INPUT.replace('"out"', '"out","out"') + "]"),
        (MULTI, INPUT, INPUT.replace("/nix/store/", "/tmp/")),
        (MULTI, INPUT, INPUT.replace('["out"]', '"out"')),
        (MULTI, INPUT, INPUT.replace('["out"]', '["out/bin"]')),
        (MULTI, INPUT, INPUT.replace('["out"]', '[""]')),
        (MULTI, f"[{SOURCE}]", f"[{SOURCE},{SOURCE}]"),
        (MULTI, f"[{SOURCE}]", '["/etc/passwd"]'),
        (MULTI, f"[{SOURCE}]", '["/nix/store"]'),
        (MULTI, f"[{SOURCE}]", '[""]'),
    ],
)
def test_malformed_texts_are_refused(text: str, old: str, new: str) -> None:
    assert old in text
    with pytest.raises(FormatError):
        parse(text.replace(old, new, 1), "foo", NIX)


@pytest.mark.parametrize("rest", ["\n", " ", ")", "\0", FOO])
def test_text_after_the_derivation_is_refused(rest: str) -> None:
    with pytest.raises(FormatError, match="the end"):
        parse(FOO + rest, "foo", NIX)


def test_outputs_that_are_needed_are_a_set() -> None:
    turned = MULTI.replace(INPUT, INPUT.replace('["out"]', '["out","dev"]'))
    (needed,) = (
        names
        for path, names in parse(turned, "multi-1.0", NIX).input_derivations.items()
        if path == PATHS["foo"]
    )
    assert needed == ("dev", "out")


def test_fault_is_reported_with_its_place() -> None:
    with pytest.raises(FormatError, match=r"at 7 stands '\{\(\"out\"'"):
        parse('Derive({("out"', "foo")


@pytest.mark.parametrize("name", ["", "a b", "foo.drv", "x" * 212, "../foo"])
def test_name_that_no_derivation_can_have_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        with_output_paths(replace(simple({}), name=name), lookup)
    with pytest.raises(FormatError):
        parse(FOO, name, NIX)


@pytest.mark.parametrize("output", ["", "a b", "é", "../out", "out/bin", "x" * 211])
def test_name_that_no_output_can_have_is_refused(output: str) -> None:
    derivation = replace(simple({}), outputs={output: Output(None)})
    with pytest.raises(FormatError):
        with_output_paths(derivation, lookup)


@pytest.mark.parametrize("text", ["a\0b", "\0", chr(0xD800), chr(0xDC00)])
def test_text_that_no_process_can_be_given_is_refused(text: str) -> None:
    for derivation in (simple({"key": text}), simple({text: "value"}), simple({}, (text,))):
        with pytest.raises(FormatError):
            with_output_paths(derivation, lookup)
        with pytest.raises(FormatError):
            derivation_path(derivation)


@pytest.mark.parametrize("names", [(), ("out", "dev"), ("dev",)])
def test_fixed_output_must_be_the_only_one_and_called_out(names: tuple[str, ...]) -> None:
    fixed = Output(None, Hash.of(b""))
    with pytest.raises(FormatError):
        with_output_paths(replace(simple({}), outputs=dict.fromkeys(names, fixed)), lookup)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd", "rcz8aqa9lzcygdcn1q53xz03vc3svrcp"),
        ('("out","/nix/store/dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd-foo")', '("out","/etc")'),
        ('("out","/nix/store/dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd-foo",', '("out","",'),
        (',("out","/nix/store/dcqg0jsvjgqnvh7ibxs5ciinmdmh9rnd-foo")', ""),
        ("echo hi", "echo ho"),
    ],
)
def test_output_path_that_the_inputs_do_not_lead_to_is_found_out(old: str, new: str) -> None:
    derivation = parse(FOO.replace(old, new), "foo", NIX)
    with pytest.raises(FormatError):
        check_output_paths(derivation, lookup, NIX)


def test_output_path_in_another_store_is_another() -> None:
    elsewhere = with_output_paths(without_paths(vector(PATHS["foo"])), lookup)
    assert elsewhere.environment["out"] == elsewhere.output_path().full()
    assert elsewhere.output_path() != vector(PATHS["foo"]).output_path()
    with pytest.raises(FormatError):
        parse(render(elsewhere), "foo", NIX)


# Any byte but NUL, as a str that holds what is not UTF-8 by surrogateescape.
texts = st.binary(max_size=20).map(
    lambda data: data.replace(b"\0", b"\n").decode(errors="surrogateescape")
) | st.text(st.sampled_from('"\\\n\r\tn$(),[]é'), max_size=10)
outputs = st.lists(st.sampled_from(["out", "dev", "doc", "lib"]), min_size=1, unique=True).map(
    lambda names: {name: Output(None) for name in names}
) | st.builds(
    lambda algorithm, recursive: {
        "out": Output(None, Hash.of(b"", algorithm), recursive=recursive)
    },
    st.sampled_from(["md5", "sha1", "sha256", "sha512"]),
    st.booleans(),
)
derivations = st.builds(
    Derivation,
    name=st.just("foo"),
    outputs=outputs,
    input_derivations=st.dictionaries(
        st.sampled_from(sorted(TEXTS)), st.sampled_from([("out",), ("dev", "out"), ()]), max_size=4
    ),
    input_sources=st.frozensets(st.sampled_from(sorted(TEXTS)), max_size=4),
    system=texts,
    builder=texts,
    arguments=st.lists(texts, max_size=4).map(tuple),
    environment=st.dictionaries(texts, texts, max_size=6),
)


@given(derivations)
def test_parse_is_the_inverse_of_render(derivation: Derivation) -> None:
    assert parse(render(derivation), "foo") == derivation
    complete = with_output_paths(derivation, lookup)
    assert parse(render(complete), "foo") == complete
    assert aterm.encode(render(complete)).decode(errors="surrogateescape") == render(complete)
    check_output_paths(complete, lookup)


@given(texts)
def test_strings_are_read_as_they_were_written(text: str) -> None:
    cursor = aterm.Cursor(aterm.string(text))
    assert cursor.string() == text
    cursor.end()


@given(st.text())
def test_any_text_is_a_format_error(text: str) -> None:
    for start in ("", "Derive(", 'Derive([("out","","",""', 'Derive([("out","","","")],[],["'):
        with pytest.raises(FormatError):
            parse(start + text, "foo", NIX)


@given(
    st.sampled_from(sorted(TEXTS.values())),
    st.integers(0, 2000),
    st.integers(0, 20),
    st.text(st.sampled_from('"\\,()[]nx/\0é'), max_size=4),
)
def test_changed_text_is_refused_or_read_as_it_stands(
    text: str, at: int, cut: int, insert: str
) -> None:
    at %= len(text)
    try:
        derivation = parse(text[:at] + insert + text[at + cut :], "foo", NIX)
    except FormatError:
        return
    assert parse(render(derivation, NIX), "foo", NIX) == derivation
