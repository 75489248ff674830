"""System roots made of .debs: what lies where, whose scripts ran, and that all is always so."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import BuildError
from envtool.formats.nix import nar
from envtool.machine.metadata import canonicalise

if TYPE_CHECKING:
    from build.system.conftest import MakeDeb, MakeRoot

pytestmark = pytest.mark.namespaces


def test_scripts_run_in_order_as_root_in_name_and_find_nothing_of_the_host(
    make_deb: "MakeDeb",
    make_root: "MakeRoot",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    note = "echo $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME $1 >> /etc/order"
    first = make_deb("zeta", preinst=note, postinst=f"{note}; id -u >> /etc/order")
    second = make_deb("alpha", postinst=note, Depends="zeta, absent | dash")
    third = make_deb("beta", triggers="interest-noawait /usr/share/x\n", postinst=f"{note} $2")
    granted = "touch /etc/a; chown 33:42 /etc/a; sleep 3000; stat -c %u:%g /etc/a > /etc/owner"
    alone = f"test ! -e {tmp_path}; grep -c : /proc/net/dev > /etc/links; env > /etc/seen"
    more = [make_deb("granted", postinst=granted), make_deb("lone", postinst=alone)]
    root, told = make_root(second, first, third, *more)
    assert (root / "etc/order").read_text().splitlines() == [
        "zeta preinst install",
        "zeta postinst configure",
        "0",
        "alpha postinst configure",
        "beta postinst configure",
        "beta postinst triggered /usr/share/x",
    ]
    assert [each for each in told if "fail" in each] == []
    assert (root / "etc/owner").read_text() == "0:0\n"
    assert (root / "etc/links").read_text() == "1\n"
    assert "TOKEN" not in (root / "etc/seen").read_text()


def test_a_failing_script_is_shown_with_its_last_lines(
    make_deb: "MakeDeb", make_root: "MakeRoot"
) -> None:
    bad = make_deb("broken", postinst="echo about to fail; exit 3")
    good = make_deb("later", postinst="echo done > /etc/later", Depends="broken")
    with pytest.raises(BuildError) as caught:
        make_root(bad, good)
    assert "broken: its postinst ended with 3\n    | about to fail" in caught.value.message
    assert 'allow-failures = ["broken"]' in (caught.value.hint or "")
    assert "later" not in caught.value.message


def test_a_failure_that_is_allowed_is_told_and_the_rest_runs(
    make_deb: "MakeDeb", make_root: "MakeRoot"
) -> None:
    bad = make_deb("broken", postinst="exit 3")
    good = make_deb("later", postinst="echo done > /etc/later", Depends="broken")
    root, told = make_root(bad, good, allowed=["broken"])
    assert (root / "etc/later").read_text() == "done\n"
    assert any("allowed to fail: broken's postinst" in each for each in told)


def test_a_script_that_never_ends_is_ended(make_deb: "MakeDeb", make_root: "MakeRoot") -> None:
    with pytest.raises(BuildError, match="endless: its postinst did not end"):
        make_root(make_deb("endless", postinst="while :; do :; done"), limit=1)


def test_a_script_that_tries_the_network_finds_none(
    make_deb: "MakeDeb", make_root: "MakeRoot"
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = f'IO::Socket::INET->new("127.0.0.1:{port}") or die "no network: $!\\n"'
        nosy = make_deb("nosy", postinst=f"perl -MIO::Socket::INET -e '{ask}'")
        with pytest.raises(BuildError) as caught:
            make_root(nosy)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "nosy: its postinst ended with" in caught.value.message
    assert "no network: Connection refused" in caught.value.message


def test_setuid_programs_lose_their_bit_and_are_told(
    make_deb: "MakeDeb", make_root: "MakeRoot"
) -> None:
    root, told = make_root(make_deb("su", {"usr/bin/su": "#!/bin/sh\n# setuid\n"}))
    assert "no setuid programs in a system root: /usr/bin/su" in told
    assert (root / "usr/bin/su").stat().st_mode & 0o7000 == 0


def test_two_roots_are_the_same_to_the_byte(make_deb: "MakeDeb", make_root: "MakeRoot") -> None:
    script = (
        "mkdir -p /var/log /var/cache/ldconfig; date +%s%N > /var/log/tiny; mkfifo /etc/pipe; "
        "echo $$ > /etc/machine-id; echo x > /run/pid; head -c 8 /dev/urandom > /etc/shadow-; "
        "mkdir -p /etc/ssh; head -c 8 /dev/urandom > /etc/ssh/ssh_host_rsa_key"
    )
    deb = make_deb("tiny", {"usr/bin/tiny": "#!/bin/sh\n"}, postinst=script)
    hashes = set()
    for name in ("one", "another with a longer path"):
        root, _ = make_root(deb, name=name)
        canonicalise(str(root))
        hashes.add(nar.hash_path(str(root)))
        assert not {"log", "tmp"} & set(os.listdir(root / "var"))
        assert not {"machine-id", "pipe", "shadow-"} & set(os.listdir(root / "etc"))
    assert len(hashes) == 1
