"""The words behind `%envtool`, and what each of them does."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from envtool.magics.moving import move, obstacles
from envtool.magics.program import Progress, argv, ask, environ, work
from envtool.magics.shown import Refused, Shown, changes, counts, size_text

__all__ = ["COMMANDS", "answer", "declare"]


def answer(line: str, ipython: Any) -> object:
    """Do what a line of words asks, and return what is to be shown beside what is shown already.

    :raises Refused: it cannot be done.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise Refused(f"{error} in: {line}") from None
    # A remark at the end of a line is nothing that IPython would take away.
    words = list(takewhile(lambda word: not word.startswith("#"), words)) or ["status"]
    if words[0] in _HELP:
        return _help(words[1:], ipython)
    if words[0] not in COMMANDS:
        from envtool.magics.helping import unknown

        raise unknown(words[0], COMMANDS)
    if words[0] not in ("shell", "notebook") and _HELP.intersection(words[1:]):
        return _help(words[:1], ipython)
    return COMMANDS[words[0]](words[1:], ipython)


def declare(line: str, cell: str, ipython: Any) -> None:
    """Make the cell's text the declaration, and enter what it asks for.

    :raises Refused: it cannot be done.
    """
    if line.strip():
        raise Refused("`%%envtool` stands alone in its line, the declaration below it")
    _change(ipython, "declaring", "declare", text=cell)


_HELP = frozenset({"help", "--help", "-h"})
_RELOAD = (
    "the notebook's file has changed on the disk: reload it before you go on (in JupyterLab: File,"
    " Reload Notebook from Disk)"
)

# Looking


def _status(words: Sequence[str], _: object) -> Shown:
    _take(words, 0, "status")
    found = ask("generations")
    generations, differs = found["generations"], found["differs"]
    running = os.environ.get("ENVTOOL_GENERATION")
    if running is None:
        title = "this kernel does not run in an environment of envtool's"
    else:
        title = f"this kernel runs in generation {running}"
    current = next((one for one in generations if one["current"]), None)
    if running is not None and current is not None and str(current["number"]) != running:
        title += f"; the current one is {current['number']}: restart the kernel to enter it"
    rows = [
        ("declaration", os.environ.get("ENVTOOL_NOTEBOOK") or _declaration()),
        ("environment", os.environ.get("ENVTOOL_ENVIRONMENT", "")),
    ]
    mine = next((one for one in generations if str(one["number"]) == running), None)
    if mine is not None:
        rows += [
            ("store path", mine["environment"]),
            ("python", mine["python"]),
            ("packages", str(len(mine["packages"]))),
            ("closure", size_text(mine["size"])),
        ]
    notes = [*([differs] if differs else []), *_origin(mine)]
    return Shown(title, ("", ""), [row for row in rows if row[1]], notes)


def _origin(running: Mapping[str, Any] | None) -> list[str]:
    """Return what there is to say about where the outputs in the notebook's file come from."""
    path = os.environ.get("JPY_SESSION_NAME") or _declaration()
    if running is None or _is_run_by_command():
        return []
    if not path.endswith(".ipynb") or not os.path.isfile(path):
        return []
    try:
        found = ask("notebook", "show", path, is_placed=False)["notebooks"][0]["origin"]
    except Refused:
        return []  # such as while an editor writes it
    if found is None or found["environment"] == running["environment"]:
        return []
    return [f"the outputs in the file were made in another closure: {found['environment']}"]


def _is_run_by_command() -> bool:
    return "ENVTOOL_NOTEBOOK" in os.environ


def _declaration() -> str:
    return os.environ.get("ENVTOOL_DECLARATION", "")


def _generations(words: Sequence[str], _: object) -> Shown:
    _take(words, 0, "generations")
    rows = [
        (
            "*" if one["current"] else "",
            str(one["number"]),
            one["created"].replace("T", " ").replace("Z", " UTC"),
            counts(one["changes"]),
            size_text(one["size"]),
            one["python"],
        )
        for one in ask("generations")["generations"]
    ]
    return Shown("generations", ("", "number", "created", "changes", "size", "python"), rows)


def _diff(words: Sequence[str], _: object) -> Shown:
    found = ask("diff", *words)
    told = counts(found["changes"]).replace("=", "nothing changed")
    title = f"generation {found['before']} to {found['after']}: {told}"
    if not words and found["before"] == found["after"]:
        title = f"generation {found['after']} has none before it to compare it with"
    return Shown(title, ("", "name", "version", "size"), changes(found["changes"]))


def _tree(words: Sequence[str], _: object) -> Shown:
    _take(words, 0, "tree")
    packages = sorted(ask("tree")["packages"], key=lambda one: (not one["direct"], one["name"]))
    rows = [
        (
            one["name"],
            one["version"] or "",
            size_text(one["size"]),
            "declared" if one["direct"] else "",
            ", ".join(one["requires"]),
        )
        for one in packages
    ]
    return Shown(f"{len(rows)} packages", ("name", "version", "size", "", "requires"), rows)


def _why(words: Sequence[str], _: object) -> Shown:
    (name,) = _take(words, 1, "why NAME")
    chains = ask("why", name)["chains"]
    return Shown(f"what leads to {name}", ("chain",), [(" → ".join(chain),) for chain in chains])


# Changing


def _add(words: Sequence[str], ipython: Any) -> None:
    _change(ipython, f"adding {' '.join(words)}", "add", *words)


def _remove(words: Sequence[str], ipython: Any) -> None:
    _change(ipython, f"removing {' '.join(words)}", "remove", *words)


def _upgrade(words: Sequence[str], ipython: Any) -> None:
    _change(ipython, f"upgrading {' '.join(words) or 'everything'}", "upgrade", *words)


def _switch(words: Sequence[str], ipython: Any) -> None:
    _change(ipython, "switching", "switch", *words)


def _change(ipython: Any, title: str, *words: str, text: str = "") -> None:
    """Let the program make another generation current, then enter it."""
    _refuse_unsaved(ipython)
    with _Working(ipython, title) as progress:
        found = work(progress, *words, text=text)
        if "generation" not in found:  # such as that of --dry-run
            raise Refused(f"`{shlex.join(words)}` is for a terminal: {shlex.join(argv(*words))}")
        generation = found["generation"]
        shown = _entered(generation, generation["changes"])
        if not found["switched"]:
            told = f"nothing to do: generation {generation['number']} is what is declared"
            shown = Shown(told, notes=shown.notes)
        elif _declaration().endswith(".ipynb") and not _is_run_by_command():
            shown.notes.append(_RELOAD)
        progress.end(shown)


def _refuse_unsaved(ipython: Any) -> None:
    """Check that an editor's notebook is saved, which is reloaded after its file has changed.

    What is in the editor nobody here can see, but for the cell that is being executed.

    :raises Refused: the file has no such cell.
    """
    if not _declaration().endswith(".ipynb") or _is_run_by_command():
        return
    request = ipython.kernel.get_parent() if hasattr(ipython, "kernel") else {}
    if "cellId" not in request.get("metadata", {}):
        return  # no editor of notebooks
    try:
        with open(_declaration(), encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        saved = ["".join(cell["source"]).strip() for cell in cells]
    except (OSError, ValueError, LookupError, TypeError):
        return  # such as while the editor writes it
    if request["content"]["code"].strip() not in saved:
        raise Refused(
            "save the notebook first, then run this cell again: its file is about to change on the"
            " disk, and what is not saved would be lost"
        )


def _rollback(words: Sequence[str], ipython: Any) -> None:
    with _Working(ipython, "rolling back") as progress:
        step = work(progress, "rollback", *words)
        found = ask("diff", str(step["from"]), str(step["to"]))["changes"]
        generations = ask("generations")["generations"]
        now = next(one for one in generations if one["number"] == step["to"])
        progress.end(_entered(now, found))


def _entered(generation: Mapping[str, Any], found: Mapping[str, Any]) -> Shown:
    """Enter a generation if nothing stands in the way; return what there is to say about it.

    `found` is what changed against the one that was current.
    """
    rows, title = changes(found), f"generation {generation['number']}: {counts(found)}"
    return Shown(title, ("", "name", "version", "size"), rows, _enter(generation))


def _enter(generation: Mapping[str, Any]) -> list[str]:
    number = generation["number"]
    if "ENVTOOL_ENVIRONMENT" not in os.environ:
        return ["this kernel does not run in it: `envtool kernel install` makes one that does"]
    try:
        loaded = obstacles(generation["environment"])
        if not loaded:
            move(generation["environment"], number)
            return ["this kernel is in it now: nothing that was loaded changes, no restart needed"]
    except OSError as error:
        return [f"restart the kernel to enter it: {error}"]
    here = os.environ["ENVTOOL_GENERATION"]
    verbs = "changes and is" if len(loaded) == 1 else "change and are"
    return [
        f"restart the kernel to enter it: {', '.join(loaded)} {verbs} loaded",
        f"until then everything in this kernel stays as generation {here} has it",
    ]


def _lock(words: Sequence[str], ipython: Any) -> None:
    with _Working(ipython, "locking") as progress:
        found = work(progress, "lock", *words)
        if "up_to_date" in found:
            progress.end(Shown("the lock is up to date"))
        elif not found["changed"]:
            progress.end(Shown(f"the lock stays as it is: {found['packages']} packages"))
        else:
            title = f"locked {found['packages']} packages ({counts(found['changes'])})"
            rows, note = changes(found["changes"]), "`%envtool switch` goes to it"
            progress.end(Shown(title, ("", "name", "version", "size"), rows, [note]))


# Other things


def _help(words: Sequence[str], _: object) -> Shown:
    from envtool.magics.helping import help_for, unknown

    name = next(iter(words), None)
    if name is not None and name not in COMMANDS:
        raise unknown(name, COMMANDS)
    return help_for(name)


def _shell(words: Sequence[str], ipython: Any) -> Shown | None:
    """Enter a shell in a terminal; in a notebook say how, or run one line and show what it says."""
    if words:
        line = argv("--quiet", "shell", "--run", " ".join(words))
        done = subprocess.run(
            line, env=environ(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        print((done.stdout + done.stderr).decode(errors="replace"), end="")  # noqa: T201
        if done.returncode:
            raise Refused(f"`{' '.join(words)}` ended with {done.returncode}")
        return None
    if hasattr(ipython, "kernel"):
        return Shown(f"in a terminal: `{shlex.join(argv('shell'))}`")
    subprocess.run(argv("shell"), env=environ(), check=False)
    return None


def _notebook(words: Sequence[str], _: object) -> None:
    """Do what `envtool notebook` does with these words, and show what it says."""
    line = [argv()[0], "notebook", *words]
    done = subprocess.run(
        line,
        env=environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    print(done.stdout.decode(errors="replace"), end="")  # noqa: T201
    if done.returncode:
        told = "" if done.stdout else done.stderr.decode(errors="replace").strip()
        said = shlex.join(["envtool", "notebook", *words])
        raise Refused(told or f"`{said}` ended with exit code {done.returncode}")


def _fetch(words: Sequence[str], ipython: Any) -> str:
    """Return where a file of the network lies in the store."""
    if len(words) not in (1, 2):
        raise Refused("fetch takes a URL and its hash: `%envtool fetch URL sha256-…`")
    with _Working(ipython, f"fetching {words[0]}") as progress:
        # While a command runs the notebook, its cells change a stand-in that will be gone.
        keeper = os.environ.get("ENVTOOL_NOTEBOOK")
        found = work(progress, "fetch", *words, declaration=keeper)
        name = os.path.basename(words[0]) or words[0]
        progress.end(Shown(f"{name} is {found['path']}"))
    if len(words) == 1:
        print(  # noqa: T201 - for whoever writes the notebook
            "to have this very file for ever and everywhere, write\n"
            f"%envtool fetch {shlex.quote(words[0])} {found['hash']}"
        )
    return str(found["physical"])


class _Working:
    """Shows that something is being done; nothing is left of that when it cannot be."""

    def __init__(self, ipython: Any, title: str) -> None:
        self.progress = Progress(ipython, title)

    def __enter__(self) -> Progress:
        return self.progress

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.progress.drop()


def _take(words: Sequence[str], count: int, usage: str) -> Sequence[str]:
    if len(words) != count:
        raise Refused(f"usage: %envtool {usage}")
    return words


COMMANDS: Mapping[str, Callable[[Sequence[str], Any], object]] = {
    "status": _status,
    "add": _add,
    "remove": _remove,
    "upgrade": _upgrade,
    "switch": _switch,
    "rollback": _rollback,
    "generations": _generations,
    "diff": _diff,
    "why": _why,
    "tree": _tree,
    "lock": _lock,
    "shell": _shell,
    "fetch": _fetch,
    "notebook": _notebook,
    "help": _help,
}
