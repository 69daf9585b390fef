"""Notebooks are stored with what they show, which is small and of no machine, and show the same when they are run."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from outputs import FOLDER, differences, execute, pictures, shown

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# The others fit more, and run with -m slow.
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
    def elsewhere(stored: str, now: str) -> list[str]:
        return differences([stored], [now], same_machine=False)

    assert elsewhere("success 0.512, 1,020 tokens", "success  0.498, 1,000 tokens") == []
    assert elsewhere("success 0.512", "success 0.9") == ["0.512 was stored, it is 0.9, in 'success 0.9'"]
    assert elsewhere("1,020 tokens", "1,300 tokens")
    assert elsewhere("a is better", "b is better")
    assert elsewhere("gpt-5 wins", "gpt-6 wins")
    assert elsewhere("1\n2\n3\na", "1\n2\n3\nb") == []
    assert elsewhere("1\n2\n3\na", "1\n2")
    assert differences(["success 0.512"], ["success 0.512"], same_machine=True) == []
    assert differences(["success 0.512"], ["success 0.513"], same_machine=True)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=() if path.stem in BY_DEFAULT else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebooks_run_and_show_what_is_stored(path):
    stored, now = nbformat.read(path, as_version=4), execute(path)
    told = f"`python tests/notebooks/store.py {path.stem}` stores what is right now"
    before, after = ([*map(shown, one.cells)] for one in (stored, now))
    same = stored.metadata["made_on"] == now.metadata["made_on"]
    assert differences(before, after, same_machine=same) == [], told
    for place, cells in enumerate(zip(stored.cells, now.cells, strict=True)):
        assert len({pictures(cell) for cell in cells}) == 1, f"cell {place}; {told}"
