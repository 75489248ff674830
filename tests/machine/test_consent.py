"""What was allowed stays allowed as it was, and a denial holds for every text."""

from pathlib import Path

import pytest

from envtool.errors import StoreError
from envtool.machine.consent import Consent
from envtool.machine.settings import Settings

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def consent(tmp_path: Path) -> Consent:
    return Consent(Settings(str(tmp_path)), "/project/envtool.toml")


def test_at_first_nothing_is_known(consent: Consent) -> None:
    assert consent.verdict(ONE) == "unknown"


def test_a_text_that_was_allowed_stays_so_beside_another(consent: Consent) -> None:
    consent.allow(ONE)
    assert (consent.verdict(ONE), consent.verdict(OTHER)) == ("allowed", "unknown")
    consent.allow(OTHER)
    assert (consent.verdict(ONE), consent.verdict(OTHER)) == ("allowed", "allowed")


def test_another_declaration_is_another_matter(tmp_path: Path, consent: Consent) -> None:
    consent.allow(ONE)
    other = Consent(Settings(str(tmp_path)), "/project/below/envtool.toml")
    assert other.verdict(ONE) == "unknown"


def test_a_denial_holds_for_every_text_until_one_is_allowed(consent: Consent) -> None:
    consent.allow(ONE)
    consent.deny()
    assert (consent.verdict(ONE), consent.verdict(OTHER)) == ("denied", "denied")
    consent.allow(OTHER)
    assert (consent.verdict(ONE), consent.verdict(OTHER)) == ("unknown", "allowed")


def test_what_cannot_be_written_is_an_error(tmp_path: Path, consent: Consent) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(StoreError, match="note the consent"):
        consent.allow(ONE)
    with pytest.raises(StoreError, match="note the denial"):
        consent.deny()


def test_a_name_that_is_gone_speaks_for_the_same_text_beside_it_only(tmp_path: Path) -> None:
    settings, folder = Settings(str(tmp_path / "root")), tmp_path / "lake"
    (folder / "below").mkdir(parents=True)
    (folder / "old.ipynb").touch()
    Consent(settings, str(folder / "old.ipynb")).allow(ONE)
    new = Consent(settings, str(folder / "new.ipynb"))
    assert not new.was_renamed(ONE)  # a copy, as long as the other one is there
    (folder / "old.ipynb").unlink()
    assert new.was_renamed(ONE)
    assert not new.was_renamed(OTHER)
    assert not Consent(settings, str(folder / "below" / "new.ipynb")).was_renamed(ONE)


def test_a_denied_name_that_is_gone_speaks_for_nobody(tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "root"))
    old = Consent(settings, str(tmp_path / "old.ipynb"))
    old.allow(ONE)
    old.deny()
    assert not Consent(settings, str(tmp_path / "new.ipynb")).was_renamed(ONE)
