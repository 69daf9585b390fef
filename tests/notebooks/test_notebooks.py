"""Notebooks are stored with what they show, which is small and of no machine, and show the same when they are run."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from outputs import FOLDER, differences, execute, pictures, shown

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# The others fit more, and run with -m slow, as `.ci/run` does.
BY_DEFAULT = ("02_first_calibration",)
#: A path of somebody's machine.
MACHINE = re.compile(r"(?<![\w.])/(?:tmp|home|root|work|Users|opt|var|usr|private)/|\b[A-Z]:\\\\")


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 10
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 3e6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_outputs_of_no_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run tests/notebooks/store.py"
    assert sum(map(pictures, cells)) >= 1
    assert sum(bool(shown(cell)) for cell in cells) >= len(cells) // 3
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            for text in [output.get("text", ""), *map(str, output.get("data", {}).values())]:
                assert not MACHINE.search(text), text


def test_what_differs_is_found():
    assert differences("success 0.512, 1,020 tokens", "success  0.498, 1,000 tokens") == []
    assert differences("success 0.512", "success 0.7") == ["0.512 was stored, it is 0.7"]
    assert differences("1,020 tokens", "1,200 tokens") == ["1020 was stored, it is 1200"]
    assert "was stored" in differences("a is better", "b is better")[0]
    assert differences("gpt-5 wins", "gpt-5 wins") == []


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem in BY_DEFAULT else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebooks_run_and_show_what_is_stored(path):
    stored, now = nbformat.read(path, as_version=4), execute(path)
    for place, (before, after) in enumerate(zip(stored.cells, now.cells, strict=True)):
        where = f"{path.name}, cell {place}; `python tests/notebooks/store.py {path.stem}` stores what is right now"
        assert differences(shown(before), shown(after)) == [], where
        assert pictures(before) == pictures(after), where
