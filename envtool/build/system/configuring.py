"""Run the maintainer scripts of a system root in the sandbox, each after those it depends on.

They run as root in name: of a user namespace, without network, with nothing of the host but the
tree itself. One shell runs them all, so that a hundred scripts do not start a hundred sandboxes;
it goes on after a failure, so that all failures are told at once.
"""

import os
from collections.abc import Iterator, Sequence

from envtool.build.system.unpacking import Laid
from envtool.errors import BuildError
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.sandbox import Sandbox
from envtool.values import value

__all__ = ["LIMIT", "Failure", "configure"]

_ENVIRONMENT = {
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "DEBIAN_FRONTEND": "noninteractive",
    "DPKG_ADMINDIR": "/var/lib/dpkg",
    "DPKG_FORCE": "",
    "DPKG_ROOT": "",
    "DPKG_RUNNING_VERSION": "1.21.0",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": "1",
}
_UNHEARD = frozenset({"ca-certificates", "fontconfig", "libc-bin", "man-db", "systemd", "udev"})
"""What they do on a trigger is done once for all at the end, or is of no use: manuals, services."""
_ORDER = "/var/lib/envtool-scripts"
_LAST = 8
"""Lines of a failed script that are shown."""
_SHOWN = 5
LIMIT = 900
"""Seconds that all scripts may take."""
_MARK = "@@envtool "
_RUNNER = f"""\
while read -r package architecture stem script arguments; do
    export DPKG_MAINTSCRIPT_PACKAGE="$package" DPKG_MAINTSCRIPT_NAME="$script"
    export DPKG_MAINTSCRIPT_ARCH="$architecture" DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1
    echo "{_MARK}begin $package $script"
    if [ "$script" = postinst ] && [ "${{arguments%% *}}" = triggered ]; then
        "/var/lib/dpkg/info/$stem.$script" triggered "${{arguments#triggered }}" < /dev/null
    else
        "/var/lib/dpkg/info/$stem.$script" $arguments < /dev/null
    fi
    echo "{_MARK}end $package $script $?"
done < {_ORDER}
ldconfig
if command -v update-ca-certificates > /dev/null; then update-ca-certificates; fi
if command -v fc-cache > /dev/null; then
    # Its caches hold the times of folders, which in the store are all the same.
    find /usr /etc /var -type d -exec touch --date=@1 {{}} +
    env --unset=SOURCE_DATE_EPOCH fc-cache --system-only --force
fi
echo "{_MARK}done"
"""


@value
class Failure:
    """A maintainer script that failed."""

    package: str
    script: str
    code: str
    """Its exit code; empty when it did not end."""
    lines: tuple[str, ...]
    """The last that it said."""

    def __str__(self) -> str:
        said = "".join(f"\n    | {line}" for line in self.lines)
        how = f"ended with {self.code}" if self.code else "did not end"
        return f"  {self.package}: its {self.script} {how}{said}"


def configure(
    bwrap: str,
    tree: str,
    packages: Sequence[Laid],
    *,
    log: str,
    allowed: frozenset[str],
    limit: int = LIMIT,
) -> tuple[Failure, ...]:
    """Run the scripts of the packages in their order; return the failures that are allowed.

    `allowed` are the names of packages whose scripts may fail. The log gets all that they say;
    after `limit` seconds they are ended.

    :raises BuildError: others failed; with their last lines.
    """
    _write_order(tree, packages)
    _prepare(tree)
    ended = ["timeout", "--kill-after=10", str(limit)]
    inside = Sandbox((), _ENVIRONMENT, "/", root=tree)
    with open(log, "wb") as output:
        code = sandbox.run(bwrap, inside, [*ended, "sh", "-c", _RUNNER], output=output)
    os.unlink(f"{tree}{_ORDER}")
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    failures = tuple(_failures(lines))
    if not failures and f"{_MARK}done" not in lines:
        shown = "\n".join(f"  | {line}" for line in lines[-_LAST:])
        raise BuildError(
            f"the system packages cannot be set up: the sandbox ended with {code}\n{shown}",
            hint=f"the whole log: {log}",
        )
    wrong = [each for each in failures if each.package not in allowed]
    if wrong:
        names = ", ".join(f'"{each}"' for each in sorted({each.package for each in wrong}))
        told = "\n".join(map(str, wrong[:_SHOWN]))
        if len(wrong) > _SHOWN:
            told += f"\n  and {len(wrong) - _SHOWN} more"
        raise BuildError(
            f"maintainer scripts of the system packages failed:\n{told}",
            hint=f"the whole log: {log}; to do without: [system] allow-failures = [{names}]",
        )
    return failures


def _write_order(tree: str, packages: Sequence[Laid]) -> None:
    lines: list[str] = []
    for kind, arguments in (("preinst", "install"), ("postinst", "configure")):
        lines += [
            f"{each.name} {each.architecture} {each.stem} {kind} {arguments}\n"
            for each in packages
            if kind in each.scripts
        ]
    for each in packages:
        if each.triggers and "postinst" in each.scripts and each.name not in _UNHEARD:
            told = f"triggered {' '.join(each.triggers)}"
            lines.append(f"{each.name} {each.architecture} {each.stem} postinst {told}\n")
    with open(f"{tree}{_ORDER}", "x", encoding="utf-8") as file:
        file.writelines(lines)


def _prepare(tree: str) -> None:
    """Give the tree what scripts expect of any system that is being installed."""
    os.makedirs(f"{tree}/root", exist_ok=True)
    policy = f"{tree}/usr/sbin/policy-rc.d"
    os.makedirs(os.path.dirname(policy), exist_ok=True)
    with open(policy, "x", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexit 101\n")  # no service is to be started
    os.chmod(policy, 0o755)  # noqa: S103 - a program


def _failures(lines: Sequence[str]) -> Iterator[Failure]:
    begun: tuple[str, str] | None = None
    said: list[str] = []
    for line in lines:
        if not line.startswith(_MARK):
            said.append(line)
            continue
        word, *rest = line[len(_MARK) :].split()
        if word == "begin":
            begun, said = (rest[0], rest[1]), []
        elif word == "end":
            begun = None
            if rest[2] != "0":
                yield Failure(rest[0], rest[1], rest[2], tuple(said[-_LAST:]))
    if begun:
        yield Failure(*begun, "", tuple(said[-_LAST:]))
