"""Imports between the parts of the package point one way."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "ds3bayes"

#: Each part and those that it may import from.
_ORDER = (
    "errors",
    "files",
    "terminal",
    "progress",
    "deferred",
    "cluster",
    "theory",
    "kernels",
    "engine",
    "strategies",
    "evals",
    "generative",
    "inference",
    "queries",
    "live",
    "reports",
)
ALLOWED = {
    "errors": set(),
    "answers": {"errors"},
    "files": {"errors"},
    "terminal": {"errors"},
    "progress": {"errors", "terminal"},
    "deferred": set(),
    "cluster": {"errors"},
    "theory": {"errors", "deferred"},
    "kernels": {"errors", "deferred", "theory"},
    "engine": {"errors", "deferred", "theory", "kernels"},
    "strategies": {"errors", "deferred", "theory"},
    "evals": {"errors", "files", "terminal", "deferred", "theory", "strategies"},
    **{part: set(_ORDER[:place]) for place, part in enumerate(_ORDER) if place >= _ORDER.index("generative")},
    "cli": {*_ORDER, "answers"},
    "__main__": {"cli"},
    "__init__": set(_ORDER),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the parts that a module imports from, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "ds3bayes":
                names = [f"ds3bayes.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "ds3bayes":
                found.add(rest.split(".")[0] if rest else "__init__")
    return found


def test_there_are_no_other_parts():
    assert {part_of(path) for path in MODULES} <= set(ALLOWED)
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    part = part_of(path)
    wrong = imported(path) - ALLOWED[part] - {part}
    assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_pickled(path):
    names = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert not names & {"pickle", "cloudpickle", "joblib", "dill"}


#: The parts of the generative model, each importing from those before it only; folders count as one.
GENERATIVE = (
    "density",
    "rows",
    "counts",
    "population",
    "ladder",
    "priors",
    "settings",
    "design",
    "task_law",
    "observation",
    "capability",
    "spec",
    "prices",
    "arrange",
    "terms",
    "likelihood",
    "task_effects",
    "model",
)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_of(path): path for path in MODULES}


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a module imports, wherever in it: for types and in functions, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else node.module or "" for name in parts}
    return (found & set(NAMES)) - {module_of(path)}


def test_no_module_imports_itself_by_way_of_others():
    # It raises at the first circle, and names it.
    TopologicalSorter({name: imported_modules(path) for name, path in NAMES.items()}).prepare()


def test_parts_of_the_model_import_from_those_below():
    parts = {name: name.split(".")[2] for name in NAMES if name.startswith("ds3bayes.generative.")}
    assert set(parts.values()) == set(GENERATIVE)
    for name, part in parts.items():
        for other in imported_modules(NAMES[name]) & set(parts):
            assert GENERATIVE.index(parts[other]) <= GENERATIVE.index(part), f"{name} imports {other}"


def test_types_are_imported_as_anything_else():
    # `deferred` and the entry points defer what takes seconds to import, which is not ours.
    for name in NAMES:
        if name.startswith("ds3bayes.generative"):
            assert "TYPE_CHECKING" not in NAMES[name].read_text(encoding="utf-8"), name
