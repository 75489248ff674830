import json
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import KernelChoice, Kind
from envtool.formats.declarations.editing.cells import with_lock
from envtool.formats.declarations.notebook import declaration_block, kind_of, lock_text
from envtool.formats.declarations.reading import parse

# A busy machine is no fault of the code under test.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# As Jupyter writes it: one space of indent, sorted keys, characters as they are.
NOTEBOOK = """\
{
 "cells": [
  {
   "cell_type": "markdown",
   "id": "a1",
   "metadata": {},
   "source": [
    "# Größe"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "a2",
   "metadata": {},
   "outputs": [],
   "source": [
    "# /// script\\n",
    "# dependencies = [\\n",
    "#   \\"numpy\\",\\n",
    "# ]\\n",
    "# ///\\n",
    "import numpy"
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "display_name": "envtool",
   "name": "envtool"
  },
  "language_info": {
   "name": "python"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
"""
LOCK = 'lock-version = "1.0"\n\n[[packages]]\nname = "größe"\n'


def metadata_notebook(declaration: object) -> str:
    notebook = json.loads(NOTEBOOK)
    notebook["cells"] = notebook["cells"][:1]
    notebook["metadata"]["envtool"] = {"declaration": declaration}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_a_block_in_the_first_code_cell_declares() -> None:
    assert kind_of(NOTEBOOK) == "notebook-cell"
    found = parse(NOTEBOOK, path="/home/me/Study 1.ipynb", kind="notebook-cell")
    assert (found.name, found.requirements) == ("study-1", ("numpy",))
    assert found.kernel == KernelChoice(None, None)


def test_the_block_is_that_of_the_first_code_cell_only() -> None:
    other = json.loads(NOTEBOOK)
    other["cells"].insert(0, {**other["cells"][1], "source": "print(1)"})
    assert declaration_block(NOTEBOOK) is not None
    assert declaration_block(json.dumps(other)) is None


def test_faults_in_a_cell_name_cell_and_line() -> None:
    with pytest.raises(DeclarationError) as caught:
        parse(NOTEBOOK.replace("numpy\\", "num py\\"), path="/n.ipynb", kind="notebook-cell")
    [fault] = caught.value.faults
    assert (fault.file, fault.line) == ("/n.ipynb, cell 2", 3)


def test_metadata_declares_with_the_keys_of_envtool_toml() -> None:
    text = metadata_notebook({"python": "3.12", "dependencies": ["pandas"], "vars": {"A": "1"}})
    assert kind_of(text) == "notebook-metadata"
    found = parse(text, path="/home/me/n.ipynb", kind="notebook-metadata")
    assert (found.python, found.requirements) == ("==3.12.*", ("pandas",))
    assert (found.variables, found.kernel) == ((("A", "1"),), KernelChoice(None, None))


def test_faults_in_metadata_name_the_line_of_the_json() -> None:
    text = metadata_notebook({"dependencies": ["pandas", "x y"], "pyton": None, "env": {}})
    with pytest.raises(DeclarationError) as caught:
        parse(text, path="/n.ipynb", kind="notebook-metadata")
    lines = text.splitlines()
    found = {fault.key: lines[(fault.line or 0) - 1] for fault in caught.value.faults}
    assert found.keys() == {
        f"metadata.envtool.declaration.{key}" for key in ("dependencies", "pyton", "env")
    }
    assert '"x y"' in found["metadata.envtool.declaration.dependencies"]
    assert '"pyton"' in found["metadata.envtool.declaration.pyton"]


def test_a_cell_without_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match="source of cell 1 is not text"):
        kind_of('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}')


def test_a_block_wins_over_metadata() -> None:
    notebook = json.loads(NOTEBOOK)
    notebook["metadata"]["envtool"] = {"declaration": {}}
    assert kind_of(json.dumps(notebook)) == "notebook-cell"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "no nbformat"),
        ('{"nbformat": 3, "worksheets": []}', "older than 4"),
        ('{"nbformat": 4}', "'cells'"),
        ('{"nbformat": 4, "cells": [1]}', "'cells'"),
        ('{"nbformat": 4, "cells": [], "metadata": 1}', "'metadata'"),
        ('{"nbformat": 4, "cells": [], "x": "\0"}', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"nbformat": ' + "9" * 5000 + "}", "digits"),
    ],
)
@pytest.mark.parametrize("kind", ["notebook-cell", "notebook-metadata"])
def test_what_is_no_notebook_is_refused(text: str, words: str, kind: Kind) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse(text, path="/n.ipynb", kind=kind)
    assert words in caught.value.message


@pytest.mark.parametrize("envtool", [1, {"declaration": 1}])
def test_metadata_of_the_wrong_type_is_refused(envtool: object) -> None:
    notebook = json.loads(metadata_notebook({}))
    notebook["metadata"]["envtool"] = envtool
    with pytest.raises(DeclarationError):
        parse(json.dumps(notebook), path="/n.ipynb", kind="notebook-metadata")


def test_a_lock_is_added_as_lines_and_nothing_else_changes() -> None:
    changed = with_lock(NOTEBOOK, LOCK)
    added = """\
  "envtool": {
   "lock": [
    "lock-version = \\"1.0\\"\\n",
    "\\n",
    "[[packages]]\\n",
    "name = \\"größe\\"\\n"
   ]
  },
"""
    assert changed == NOTEBOOK.replace('  "kernelspec"', added + '  "kernelspec"')
    assert lock_text(changed) == LOCK


def test_a_notebook_with_a_lock_is_valid_and_unchanged_when_jupyter_saves_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(with_lock(NOTEBOOK, LOCK), encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    assert path.read_text(encoding="utf-8") == with_lock(NOTEBOOK, LOCK)


def test_a_lock_is_replaced_and_removed_in_its_place() -> None:
    changed = with_lock(with_lock(NOTEBOOK, LOCK), "other\n")
    assert lock_text(changed) == "other\n"
    assert with_lock(changed, None) == NOTEBOOK


def test_removing_the_lock_keeps_the_declaration() -> None:
    text = metadata_notebook({"dependencies": []})
    assert with_lock(with_lock(text, LOCK), None) == text


def test_a_notebook_without_a_lock_has_none() -> None:
    assert lock_text(NOTEBOOK) is None
    assert with_lock(NOTEBOOK, None) == NOTEBOOK


def test_a_lock_that_is_not_text_is_refused() -> None:
    notebook = json.loads(NOTEBOOK)
    notebook["metadata"]["envtool"] = {"lock": {}}
    with pytest.raises(DeclarationError, match="not a list of lines"):
        lock_text(json.dumps(notebook))


@pytest.mark.parametrize(
    "text",
    [
        NOTEBOOK.replace("\n", "\r\n"),
        json.dumps(json.loads(NOTEBOOK)),
        json.dumps(json.loads(NOTEBOOK), separators=(",", ":")),
        json.dumps(json.loads(NOTEBOOK), indent=4),
        json.dumps(json.loads(NOTEBOOK), indent="\t", ensure_ascii=False),
        '{"cells": [], "metadata": {}, "nbformat": 4}',
        '{"nbformat": 4, "cells": []}',
    ],
)
def test_the_layout_of_the_text_is_kept(text: str) -> None:
    changed = with_lock(text, LOCK)
    assert lock_text(changed) == LOCK
    assert text.isascii() <= changed.isascii() or "\\u" not in text
    assert ("\r\n" in changed) == ("\r\n" in text)
    assert ("\n" in changed) == ("\n" in text)
    if '"metadata"' in text:
        assert with_lock(changed, None) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


@UNHURRIED
@given(
    st.dictionaries(st.text(), JSON, max_size=4),
    st.dictionaries(st.text() | st.just("lock"), JSON, max_size=3) | st.none(),
    st.text(),
    st.sampled_from([None, 0, 1, 2, "\t"]),
    st.booleans(),
)
def test_a_lock_is_read_back_and_everything_else_is_as_it_was(
    metadata: dict[str, object],
    own: dict[str, object] | None,
    lock: str,
    indent: int | str | None,
    ensure_ascii: bool,
) -> None:
    assume("envtool" not in metadata)
    if own is not None:
        metadata = {**metadata, "envtool": own}
    notebook = {"cells": [], "metadata": metadata, "nbformat": 4}
    text = json.dumps(notebook, indent=indent, ensure_ascii=ensure_ascii)
    changed = with_lock(text, lock)
    assert lock_text(changed) == lock
    assert lock_text(with_lock(changed, None)) is None
    if own != {} and "lock" not in (own or {}):
        assert with_lock(changed, None) == text


@UNHURRIED
@given(st.text())
def test_any_text_has_a_lock_or_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError):
        lock_text("{" + text)
