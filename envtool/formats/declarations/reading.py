"""From the text of a file to the declaration of one environment, for each kind of file.

Each kind is brought to the same `_Base` first: what the default environment has. The named
environment's table is then joined onto it.
"""

import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from envtool.formats.declarations.checked import Faults, Place, Table, near
from envtool.formats.declarations.declaration import Declaration, KernelChoice, Kind, PathSource
from envtool.formats.declarations.documents import read_document
from envtool.formats.declarations.groups import Extras, Groups
from envtool.formats.declarations.requirement import NAME, name_of, normalised
from envtool.formats.declarations.schema import (
    SETTINGS_KEYS,
    EnvironmentTable,
    Settings,
    read_requirements,
    read_settings,
    read_specifier,
)
from envtool.values import replace, value

__all__ = ["parse"]

_BASE_ALONE = EnvironmentTable(
    base=True, dependencies=(), groups=(), python=None, interpreter=None, variables={}, kernel=None
)


@value
class _Base:
    """What a file says beside its named environments."""

    name: str
    python: str | None
    requirements: tuple[str, ...]
    project: Mapping[str, PathSource]
    """The project itself, when it is part of its own environment."""
    groups: Groups
    settings: Settings
    table: Table
    """The one that holds envtool's keys."""
    unread: tuple[str, ...] = ()
    """Requirements in groups and extras that this environment has no use for, unexamined."""


def parse(text: str, *, path: str, kind: Kind, environment: str = "default") -> Declaration:
    """Read a declaration out of the whole text of its file.

    `path` is absolute: it stands in the faults, and its folder's or its own name is the default
    name. Of a notebook the text is the .ipynb's JSON.

    :raises DeclarationError: with all faults of the file.
    """
    document = read_document(text, path, kind)
    faults = Faults()
    root = Table(document.values, document.place, faults)
    base = _BASES[kind](root, _naming(text, path) if kind.startswith("notebook") else path)
    declaration = _joined(base, path=path, kind=kind, environment=environment)
    if faults.found:
        raise faults.located(document.file, document.line_of)
    if kind.startswith("notebook") and declaration.kernel is None:
        # A notebook runs in a kernel, whether it says so or not.
        return replace(declaration, kernel=KernelChoice(None, None))
    return declaration


def _envtool_base(root: Table, path: str, name: str | None = None) -> _Base:
    own_keys = {"name", "dependencies", "dependency-groups"}
    elsewhere = {"requires-python": "the key is python here"}
    root.refuse_unknown(SETTINGS_KEYS | own_keys, elsewhere=elsewhere)
    settings = read_settings(root)
    groups = Groups(root.table("dependency-groups"))
    for group in groups:
        groups.requirements(group, (*root.place, "dependency-groups", group), root)
    return _Base(
        name=_written_name(root) or name or _slug(os.path.basename(os.path.dirname(path))),
        python=settings.python,
        requirements=read_requirements(root, "dependencies"),
        project={},
        groups=groups,
        settings=settings,
        table=root,
        unread=tuple(_strings_below(root.values.get("dependency-groups"))),
    )


def _metadata_base(root: Table, path: str) -> _Base:
    _refuse_environments(root)
    return _envtool_base(root, path, _stem(path))


def _inline_base(root: Table, path: str) -> _Base:
    own_keys = (SETTINGS_KEYS - {"python"}) | {"name", "dependency-groups"}
    below = dict.fromkeys(own_keys, "write it below [tool.envtool]")
    root.refuse_unknown(
        {"dependencies", "requires-python", "tool"},
        elsewhere=below | {"python": "the key is requires-python here (PEP 723)"},
    )
    own = _own_table(root)
    elsewhere = {
        "dependencies": "write dependencies at the top of the block (PEP 723)",
        "python": "write requires-python at the top of the block (PEP 723)",
    }
    own.refuse_unknown(own_keys, elsewhere=elsewhere)
    own_settings = {key: value for key, value in own.values.items() if key != "python"}
    groups = Groups(own.table("dependency-groups"))
    for group in groups:
        groups.requirements(group, (*own.place, "dependency-groups", group), own)
    return _Base(
        name=_written_name(own) or _stem(path),
        python=read_specifier(root, "requires-python", bare=False),
        requirements=read_requirements(root, "dependencies"),
        project={},
        groups=groups,
        settings=read_settings(Table(own_settings, own.place, own.faults)),
        table=own,
        unread=tuple(_strings_below(own.values.get("dependency-groups"))),
    )


def _cell_base(root: Table, path: str) -> _Base:
    base = _inline_base(root, path)
    _refuse_environments(base.table)
    return base


def _refuse_environments(table: Table) -> None:
    if "env" in table.values:
        table.fault("env", "a notebook is one environment; it cannot have others")


def _pyproject_base(root: Table, path: str) -> _Base:
    own = _own_table(root)
    elsewhere = {
        "dependencies": "write them in [project] dependencies",
        "dependency-groups": "write them as [dependency-groups] at the top (PEP 735)",
        "name": "write it in [project] name",
    }
    own.refuse_unknown(SETTINGS_KEYS | {"groups", "extras", "project"}, elsewhere=elsewhere)
    settings = read_settings(own)
    project = root.table("project") or Table({}, ("project",), root.faults)
    name = _written_name(project)
    groups = Groups(root.table("dependency-groups"))
    requires_python = read_specifier(project, "requires-python", bare=False)
    itself = _itself(root, own, name)
    extras = own.strings("extras")
    asked = [*read_requirements(project, "dependencies")]
    optional = Extras(project.table("optional-dependencies"), normalised(name or ""))
    for place, extra in extras:
        asked += optional.requirements(extra, place, own)
    for place, group in _default_groups(own, groups):
        asked += groups.requirements(group, place, own)
    if itself:
        words = ",".join(sorted({normalised(extra) for _, extra in extras}))
        asked.insert(0, f"{next(iter(itself))}[{words}]" if words else next(iter(itself)))
    return _Base(
        name=_slug(name) if name else _slug(os.path.basename(os.path.dirname(path))),
        python=settings.python if "python" in own.values else requires_python,
        requirements=tuple(asked),
        project=itself,
        groups=groups,
        settings=settings,
        table=own,
        unread=tuple(
            _strings_below(
                [root.values.get("dependency-groups"), project.values.get("optional-dependencies")]
            )
        ),
    )


def _own_table(root: Table) -> Table:
    tool = root.table("tool")
    own = tool.table("envtool") if tool else None
    return own or Table({}, ("tool", "envtool"), root.faults)


def _itself(root: Table, own: Table, name: str | None) -> dict[str, PathSource]:
    """Return the project as an editable source of its own environment, or nothing."""
    choice = own.string("project")
    if choice not in (None, "editable", "none"):
        own.fault("project", f"expected 'editable' or 'none', found '{choice}'")
    if choice == "editable" and name is None:
        own.fault("project", "a project without [project] name cannot be a requirement")
    if choice == "none" or name is None or (choice is None and "build-system" not in root.values):
        return {}
    return {normalised(name): PathSource(".", editable=True)}


def _default_groups(own: Table, groups: Groups) -> Iterable[tuple[Place, str]]:
    if "groups" in own.values:
        return own.strings("groups")
    return [(own.place, "dev")] if "dev" in groups else []


def _written_name(table: Table) -> str | None:
    name = table.string("name")
    if name is None:
        return None
    is_project = table.place[-1:] == ("project",)
    if is_project and not NAME.fullmatch(name):
        table.fault("name", f"'{name}' is not a project's name: letters, digits and ._- only")
        return None
    if not re.search(r"[A-Za-z0-9]", name):
        table.fault("name", f"'{name}' is not a name: it has no letter a-z and no digit")
        return None
    return name if is_project else _slug(name)


def _naming(notebook: str, path: str) -> str:
    """Return the path that names a notebook: an executed copy is called as what it is a copy of."""
    if '"envtool"' not in notebook:
        return path
    from envtool.formats.declarations.notebook import carried_name

    name = carried_name(notebook, file=path)
    return path if name is None else f"{name}.ipynb"


def _stem(path: str) -> str:
    return _slug(os.path.splitext(os.path.basename(path))[0])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "project"


def _joined(base: _Base, *, path: str, kind: Kind, environment: str) -> Declaration:
    own = {name: _own_requirements(base, env) for name, env in base.settings.environments.items()}
    chosen = _chosen(base, environment)
    asked = [*(base.requirements if chosen.base else ()), *own.get(environment, ())]
    everything = [
        *base.requirements,
        *base.unread,
        *(each for part in own.values() for each in part),
    ]
    _check_sources(base, everything)
    names = {name_of(requirement) for requirement in asked}
    settings = base.settings
    written = {name: source for name, (_, source) in settings.sources.items()}
    sources = {**base.project, **written}
    kernel = settings.kernel
    if kernel is not None and environment != "default":
        # The base's names are the base's: two kernelspecs of one name would hide each other.
        kernel = KernelChoice(None, None)
    return Declaration(
        path=path,
        kind=kind,
        name=base.name,
        environment=environment,
        python=chosen.python or base.python,
        requirements=tuple(dict.fromkeys(asked)),
        sources=tuple(sorted(item for item in sources.items() if item[0] in names)),
        index=settings.index,
        exclude_newer=settings.exclude_newer,
        sdists=settings.sdists,
        collisions=settings.collisions,
        interpreter=chosen.interpreter or settings.interpreter,
        libraries=settings.libraries,
        host_drivers=settings.host_drivers,
        system=settings.system if chosen.base else None,
        variables=tuple(sorted({**settings.variables, **chosen.variables}.items())),
        hook=settings.hook,
        kernel=chosen.kernel or kernel,
    )


def _own_requirements(base: _Base, environment: EnvironmentTable) -> list[str]:
    asked = list(environment.dependencies)
    for place, group in environment.groups:
        asked += base.groups.requirements(group, place, base.table)
    return asked


def _chosen(base: _Base, environment: str) -> EnvironmentTable:
    environments = base.settings.environments
    if environment in environments:
        return environments[environment]
    if environment != "default":
        known = ["default", *environments]
        base.table.fault(
            "env",
            f"no environment '{environment}'; there are: {', '.join(known)}"
            f"{near(environment, known)}",
        )
    return _BASE_ALONE


def _check_sources(base: _Base, everything: list[str]) -> None:
    by_name = {name_of(requirement): requirement for requirement in everything}
    for name, (place, _) in base.settings.sources.items():
        if name not in by_name and name not in base.project:
            message = f"a source without a requirement{near(name, by_name)}"
            base.table.faults.add(place, message)
        elif re.match(r"[^;]*@", by_name.get(name, "")):
            base.table.faults.add(place, f"the requirement has a URL already: {by_name[name]}")


def _strings_below(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for below in value.values():
            yield from _strings_below(below)
    elif isinstance(value, list):
        for below in value:
            yield from _strings_below(below)


_BASES: Mapping[Kind, Callable[[Table, str], _Base]] = {
    "envtool.toml": _envtool_base,
    "pyproject.toml": _pyproject_base,
    "script": _inline_base,
    "notebook-cell": _cell_base,
    "notebook-metadata": _metadata_base,
}
