"""The keys of envtool's own tables: which there are, what each may hold, and why not.

The same keys serve `envtool.toml`, `[tool.envtool]` of a pyproject.toml or of a PEP 723 block, and
a notebook's metadata.
"""

import re
from collections.abc import Mapping

from envtool.formats.declarations.checked import Place, Table, near
from envtool.formats.declarations.declaration import (
    KernelChoice,
    PathSource,
    SystemChoice,
    lock_word,
)
from envtool.formats.declarations.requirement import (
    NAME,
    normalised,
    python_specifier,
    why_not_requirement,
)
from envtool.values import value

__all__ = [
    "ENVIRONMENT_NAME",
    "SETTINGS_KEYS",
    "EnvironmentTable",
    "Settings",
    "read_requirements",
    "read_settings",
    "read_specifier",
    "valid_requirements",
]

ENVIRONMENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
SETTINGS_KEYS = frozenset(
    {
        "collisions",
        "env",
        "exclude-newer",
        "gpu",
        "index",
        "interpreter",
        "kernel",
        "libraries",
        "python",
        "sdists",
        "shell",
        "sources",
        "system",
        "vars",
    }
)
"""What every one of envtool's tables may hold."""
_ENVIRONMENT_KEYS = frozenset(
    {"base", "dependencies", "groups", "interpreter", "kernel", "python", "vars"}
)
# Compiled when first used: most declarations have few of them.
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_INDEX = r"(?:https?://[^\s/?#]+|file:///)\S*"
_SONAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\.so(?:\.[A-Za-z0-9_.+-]+)?"
_SOURCES = ("host", "debian", "standalone", "closed")
_INTERPRETER = r"host|standalone|closed|debian(?:/[a-z0-9][a-z0-9.+-]*)?"
_PINNED = {
    "PATH": "envtool leads it with the environment's programs",
    "PYTHONPATH": "envtool pins it, so that only the environment's packages are importable",
    "PYTHONHOME": "it would replace the environment's standard library",
    "PYTHONPYCACHEPREFIX": "envtool points it at the shared bytecode",
    "PYTHONPLATLIBDIR": "it would replace the environment's standard library",
    "PYTHONEXECUTABLE": "the environment has its own interpreter",
    "PYTHONUSERBASE": "packages of the user's home do not belong to the environment",
    "PYTHONNOUSERSITE": "packages of the user's home stay out as it is",
    "PYTHONSAFEPATH": "envtool decides what leads sys.path",
    "LD_LIBRARY_PATH": "it would put other libraries before the environment's own",
    "LD_PRELOAD": "it would put other libraries before the environment's own",
    "LD_AUDIT": "it would put other libraries before the environment's own",
    "VIRTUAL_ENV": "the environment is immutable, and tools would write to it",
}


@value
class EnvironmentTable:
    """One `[env.NAME]` table: what it changes about the base environment."""

    base: bool
    """Begin with all that the default environment requires."""
    dependencies: tuple[str, ...]
    groups: tuple[tuple[Place, str], ...]
    python: str | None
    interpreter: str | None
    variables: Mapping[str, str]
    kernel: KernelChoice | None


@value
class Settings:
    """What one of envtool's tables says; None where it says nothing."""

    python: str | None
    interpreter: str | None
    """Where the interpreter comes from, as `Declaration` has it."""
    host_drivers: bool
    """An interpreter of our own loads the libraries of the host's GPU driver."""
    index: str | None
    exclude_newer: str | None
    sdists: tuple[str, ...]
    """Normalised and sorted."""
    libraries: tuple[str, ...]
    """Sonames of what is opened by name at run time; sorted."""
    collisions: str
    """`refuse` or `warn`: what happens when two packages claim one file."""
    sources: Mapping[str, tuple[Place, PathSource]]
    """By normalised name."""
    variables: Mapping[str, str]
    hook: str | None
    kernel: KernelChoice | None
    environments: Mapping[str, EnvironmentTable]
    system: SystemChoice | None


def read_settings(table: Table) -> Settings:
    """Read all keys but those that only one kind of file has; faults go to the table's list."""
    return Settings(
        python=_python(table),
        interpreter=_interpreter(table),
        host_drivers=_host_drivers(table),
        index=_index(table),
        exclude_newer=_exclude_newer(table),
        sdists=_sdists(table),
        libraries=_libraries(table),
        collisions=_collisions(table),
        sources=_sources(table),
        variables=_variables(table),
        hook=_hook(table),
        kernel=_kernel(table),
        environments=_environments(table),
        system=_system(table),
    )


def read_requirements(table: Table, key: str) -> tuple[str, ...]:
    """Return an array of PEP 508 strings as they are written, noting the invalid ones."""
    return valid_requirements(table, table.strings(key))


def valid_requirements(table: Table, written: list[tuple[Place, str]]) -> tuple[str, ...]:
    """Return those strings that are PEP 508 requirements, noting the others."""
    valid = []
    for place, requirement in written:
        reason = why_not_requirement(requirement)
        if reason is None:
            valid.append(requirement)
        else:
            table.faults.add(place, reason)
    return tuple(valid)


def read_specifier(table: Table, key: str, *, bare: bool) -> str | None:
    """Return a PEP 440 specifier for the Python version; with `bare`, `3.11` will do."""
    value = table.values.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        table.fault(key, f'expected a string, found a number: write "{value}" with quotes')
        return None
    written = table.string(key, example="3.12")
    if written is None:
        return None
    try:
        return python_specifier(written, bare=bare)
    except ValueError as error:
        table.fault(key, str(error))
        return None


def _python(table: Table) -> str | None:
    return read_specifier(table, "python", bare=True)


def _index(table: Table) -> str | None:
    written = table.string("index")
    if written is not None and not (re.fullmatch(_INDEX, written) and written.isprintable()):
        table.fault("index", f"{written!r} is not the http, https or file URL of a package index")
    return written


def _exclude_newer(table: Table) -> str | None:
    from datetime import date

    value = table.values.get("exclude-newer")
    if isinstance(value, date):  # written without quotes
        written: str | None = value.isoformat()
    else:
        written = table.string("exclude-newer", example="2026-01-31")
    if written is None:
        return None
    from envtool.formats.cutoff import check_time

    try:
        check_time(written)
    except ValueError as error:
        table.fault(
            "exclude-newer",
            f"'{written}' is not a date such as 2026-01-31 or 2026-01-31T12:00:00Z ({error})",
        )
    return written


def _sdists(table: Table) -> tuple[str, ...]:
    return tuple(sorted({normalised(name) for _, name in _names(table, "sdists")}))


def _libraries(table: Table) -> tuple[str, ...]:
    unlike = "the name of a shared library, such as libcairo.so.2"
    return tuple(sorted({name for _, name in table.words("libraries", _SONAME, unlike)}))


def _interpreter(table: Table) -> str | None:
    written = table.string("interpreter", example="debian")
    if written is None or re.fullmatch(_INTERPRETER, written):
        return written
    known = "host, debian, debian/SUITE, standalone or closed"
    table.fault("interpreter", f"'{written}' is not {known}{near(written, _SOURCES)}")
    return None


def _host_drivers(table: Table) -> bool:
    gpu = table.table("gpu")
    if gpu is None:
        return False
    gpu.refuse_unknown(("host-drivers",))
    return gpu.flag("host-drivers", default=False)


def _collisions(table: Table) -> str:
    written = table.string("collisions", example="warn")
    if written not in {None, "refuse", "warn"}:
        table.fault("collisions", f"'{written}' is neither refuse nor warn")
    return written or "refuse"


def _names(table: Table, key: str) -> list[tuple[Place, str]]:
    return table.words(key, NAME.pattern, "a name: letters, digits and ._- only")


def _sources(table: Table) -> dict[str, tuple[Place, PathSource]]:
    found: dict[str, tuple[Place, PathSource]] = {}
    below = table.table("sources")
    for name, source in below.tables() if below else ():
        source.refuse_unknown(("path", "editable"))
        path = source.string("path")
        editable = source.flag("editable", default=False)
        if not NAME.fullmatch(name):
            source.faults.add(source.place, f"'{name}' is not a package's name")
        elif normalised(name) in found:
            source.faults.add(source.place, f"a second source for '{normalised(name)}'")
        elif path is None:
            if "path" not in source.values:
                source.faults.add(source.place, "a source needs a path: { path = '../other' }")
        elif not path or not path.isprintable():
            source.fault("path", f"{path!r} is not the path of a directory or archive")
        else:
            found[normalised(name)] = (source.place, PathSource(path, editable))
    return found


def _variables(table: Table) -> dict[str, str]:
    found: dict[str, str] = {}
    below = table.table("vars")
    for name in below.values if below else ():
        assert below is not None
        value = below.values[name]
        upper = name.upper()
        if not re.fullmatch(_VARIABLE, name):
            below.fault(name, "not a variable's name: letters, digits and _ only")
        elif upper in _PINNED or upper.startswith("ENVTOOL_"):
            reason = _PINNED.get(upper, "names that begin with ENVTOOL_ are envtool's own settings")
            below.fault(name, f"cannot be set here: {reason}")
        elif not isinstance(value, str):
            below.wrong_type(name, "a string", value)
        elif "\0" in value:
            below.fault(name, "a variable cannot hold a NUL character")
        else:
            found[name] = value
    return found


def _hook(table: Table) -> str | None:
    shell = table.table("shell")
    if shell is None:
        return None
    shell.refuse_unknown(("hook",))
    hook = shell.string("hook")
    if hook is not None and "\0" in hook:
        shell.fault("hook", "a shell hook cannot hold a NUL character")
    return hook


def _kernel(table: Table) -> KernelChoice | None:
    kernel = table.table("kernel")
    if kernel is None:
        return None
    kernel.refuse_unknown(("name", "display-name"))
    name = kernel.string("name")
    display_name = kernel.string("display-name")
    if name is not None and not ENVIRONMENT_NAME.fullmatch(name):
        kernel.fault("name", f"'{name}' is not a kernel's name: a-z, 0-9 and ._- only")
    if display_name is not None and not (display_name and display_name.isprintable()):
        kernel.fault("display-name", "expected one line of text")
    return KernelChoice(name, display_name)


def _system(table: Table) -> SystemChoice | None:
    system = table.table("system")
    if system is None:
        return None
    from envtool.formats.declarations.system_table import read_system

    if str(table.values.get("interpreter", "")) == "host":
        table.fault(
            "interpreter",
            "the host's interpreter cannot run where /usr is of [system] packages; "
            'write "debian", or leave the key out',
        )
    return read_system(system)


def _environments(table: Table) -> dict[str, EnvironmentTable]:
    found: dict[str, EnvironmentTable] = {}
    words: dict[str, str] = {}
    below = table.table("env")
    for name, environment in below.tables() if below else ():
        place = environment.place
        if name == "default":
            environment.faults.add(place, "'default' is the base: write its keys at the top")
        elif not ENVIRONMENT_NAME.fullmatch(name):
            environment.faults.add(
                place, f"'{name}' is not an environment's name: a-z, 0-9 and ._-, such as 'ci-3.12'"
            )
        twin = words.setdefault(lock_word(name), name)
        if twin != name:
            environment.faults.add(place, f"its lock file would be the one of env.{twin}")
        found[name] = _environment(environment)
    return found


def _environment(table: Table) -> EnvironmentTable:
    table.refuse_unknown(_ENVIRONMENT_KEYS)
    return EnvironmentTable(
        base=table.flag("base", default=True),
        dependencies=read_requirements(table, "dependencies"),
        groups=tuple(_names(table, "groups")),
        python=_python(table),
        interpreter=_interpreter(table),
        variables=_variables(table),
        kernel=_kernel(table),
    )
