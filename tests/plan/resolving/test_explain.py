"""What uv says is said in our words; what older versions of it draw is read too."""

import pytest

from envtool.plan.resolving.explain import NeedsBuildError, explain

DRAWN = """\
  \u00d7 No solution found when resolving dependencies:
  \u2570\u2500\u25b6 Because tiny was not found in the package registry and you require tiny, \
we can conclude
      that your requirements are unsatisfiable.
"""
PLAIN = """\
error: No solution found when resolving dependencies
  cause: Because tiny was not found in the package registry and you require tiny, we can conclude \
that your requirements are unsatisfiable.
"""


@pytest.mark.parametrize("stderr", [DRAWN, PLAIN])
def test_both_of_uvs_forms_are_read(stderr: str) -> None:
    error = explain(stderr, index="https://user:secret@example.org/simple")

    assert error.message == (
        "the index (https://example.org/simple) has no package tiny\n"
        "  Because tiny was not found in the package registry and you require tiny, so your "
        "requirements are unsatisfiable."
    )


def test_a_long_explanation_is_cut() -> None:
    stderr = "error: No solution found\n" + f"  cause: {'because ' * 200}\n" * 20

    lines = explain(stderr, index=None).message.splitlines()

    assert len(lines) == 7
    assert max(map(len, lines)) < 410


def test_what_is_not_known_is_shown_as_it_is() -> None:
    error = explain("warning: odd\nerror: the moon is full\n", index=None)

    assert error.message == "uv could not resolve the requirements\n  the moon is full"


def test_silence_is_an_error_too() -> None:
    assert explain("", index=None).message == "uv could not resolve the requirements"


def test_what_would_have_to_be_built_is_named() -> None:
    error = explain(
        "error: Failed to build `dyn @ file:///home/me/dyn`\n"
        "  cause: Building source distributions for `dyn` is disabled\n",
        index=None,
    )

    assert isinstance(error, NeedsBuildError)
    assert error.names == {"dyn"}
    assert 'sdists = ["dyn"]' in str(error.hint)


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        ("invalid peer certificate: UnknownIssuer", "is not trusted"),
        ("dns error", "is unreachable"),
        ("operation timed out", "did not answer in time"),
        ("connection closed before message completed", "broke off"),
    ],
)
def test_failures_on_the_way_are_told_apart(cause: str, message: str) -> None:
    stderr = (
        "error: Failed to fetch: https://u:p@example.org/simple/tiny/\n"
        "  cause: error sending request for url (https://u:p@example.org/simple/tiny/)\n"
        f"  cause: {cause}\n"
    )

    error = explain(stderr, index=None)

    assert message in error.message.splitlines()[0]
    assert "https://example.org/simple/tiny/" in error.message.splitlines()[0]
    assert "u:p" not in error.message
