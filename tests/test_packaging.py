"""The machine is compiled when the package is installed, and what is wrong with it is said in one line."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from ds3bayes.engine import build, library

LOG_DENSITY = """
import sys
import ds3bayes as ds3
from ds3bayes.engine.density import density_of
from ds3bayes.engine.library import load

model = ds3.build_model(ds3.ModelSpec.from_toml(sys.argv[1]), ds3.read_evals(sys.argv[2]))
density = density_of(model)
print(load().machine_built_level(), density.tape.log_density(density.start + 0.1)[0].hex())
"""
SMOKE = """
import warnings
import pandas as pd
import ds3bayes as ds3
from ds3bayes.engine.library import load

load()
table = pd.DataFrame({"model": "m", "benchmark": "b", "strategy": "cot", "task": list("vwxyz"), "attempts": 10})
table["successes"] = [1, 3, 5, 7, 9]
with warnings.catch_warnings():
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ds3.FitWarning)
    fit = ds3.fit(ds3.read_evals(table), draws=20, tune=20, chains=1, seed=1, progress=False)
print(ds3.__file__, dict(fit["posterior"].sizes)["draw"])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A copy of the installed machine, which `load` takes."""
    installed = Path(next(iter(find_spec(library.FOLDER).submodule_search_locations)))
    copy = tmp_path / "machine"
    shutil.copytree(installed, copy)
    monkeypatch.setenv("DS3BAYES_MACHINE", str(copy))
    monkeypatch.delenv("DS3BAYES_MACHINE_LEVEL", raising=False)
    return copy


def load():
    """Load anew: `library.load` does it once per process."""
    return library.load.__wrapped__()


def compiled_levels(folder: Path) -> list[str]:
    """The levels in a folder, lowest first."""
    return [one for one in (*library.X86_LEVELS, library.GENERIC) if (folder / library.library_name(one)).exists()]


def test_the_best_level_is_loaded_unless_a_lower_one_is_asked_for(folder, monkeypatch):
    levels = compiled_levels(folder)
    best = load()
    assert best.machine_built_level() == min(best.machine_level(), len(levels) - 1)
    monkeypatch.setenv("DS3BAYES_MACHINE_LEVEL", levels[0])
    assert load().machine_built_level() == 0


def test_a_level_that_cannot_be_had(folder, monkeypatch):
    monkeypatch.setenv("DS3BAYES_MACHINE_LEVEL", "x86-64-v9")
    with pytest.raises(library.MachineError, match=rf"is 'x86-64-v9'; .* allow {compiled_levels(folder)[0]}"):
        load()


@pytest.mark.parametrize("change", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: whole[:-1] + b"?"])
def test_a_damaged_library_is_not_opened(folder, change):
    path = folder / library.library_name(compiled_levels(folder)[0])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(library.MachineError, match=r"is damaged .*reinstall ds3bayes"):
        load()


def test_a_library_that_is_gone(folder):
    (folder / library.library_name(compiled_levels(folder)[0])).unlink()
    with pytest.raises(library.MachineError, match=r"cannot be loaded .*No such file.*reinstall"):
        load()


def test_a_library_of_another_platform(folder, root):
    level = compiled_levels(folder)[0]
    (folder / library.library_name(level)).write_bytes(b"MZ this is no library here")
    library.write_digests(folder, root / "ds3bayes", [level])
    with pytest.raises(library.MachineError, match=r"cannot be loaded .*reinstall"):
        load()
    library.write_digests(folder, root / "ds3bayes", [])
    with pytest.raises(library.MachineError, match="names no library for this platform"):
        load()


def test_a_machine_older_than_its_sources(folder):
    digests = folder / library.DIGESTS
    first, *rest = digests.read_text().splitlines()
    assert first.endswith(library.SOURCES)
    digests.write_text("\n".join([f"{'0' * 64}  {library.SOURCES}", *rest]))
    with pytest.raises(library.MachineError, match="older than the C files"):
        load()


def test_any_change_of_a_c_file_or_header_changes_the_digest(tmp_path, root):
    for part in ("engine/machine", "kernels"):
        shutil.copytree(root / "ds3bayes" / part, tmp_path / part)
    digest = library.digest_of_sources(tmp_path)
    assert digest == library.digest_of_sources(root / "ds3bayes")
    for path in library.c_files(tmp_path, "*.[ch]"):
        text = path.read_text()
        path.write_text(text + "\n")
        assert library.digest_of_sources(tmp_path) != digest
        path.write_text(text)
    assert library.digest_of_sources(tmp_path / "kernels") is None


def test_a_machine_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DS3BAYES_MACHINE", str(tmp_path))
    with pytest.raises(library.MachineError, match=r"which has no digests\.txt: name another folder or unset it"):
        load()
    monkeypatch.delenv("DS3BAYES_MACHINE")
    monkeypatch.setattr(library, "FOLDER", "no_such_folder")
    with pytest.raises(library.MachineError, match=r"is not installed .*reinstall"):
        load()


def test_levels_agree_on_a_log_density(folder, root):
    levels = compiled_levels(folder)
    found = {}
    for level in {levels[0], levels[min(load().machine_level(), len(levels) - 1)]}:
        done = subprocess.run(
            [sys.executable, "-c", LOG_DENSITY, root / "models" / "game24.toml", root / "data" / "game24.csv"],
            env={**os.environ, "DS3BAYES_MACHINE_LEVEL": level},
            capture_output=True,
            check=True,
            text=True,
        )
        built, number = done.stdout.split()
        assert int(built) == levels.index(level)
        found[level] = float.fromhex(number)
    assert found[levels[0]] == pytest.approx(max(found.values()), rel=1e-12, abs=0)
    assert found[levels[0]] == pytest.approx(min(found.values()), rel=1e-12, abs=0)


@pytest.fixture
def failing(tmp_path) -> Path:
    """A folder with a compiler, called cc, that only complains."""
    made = tmp_path / "failing"
    made.mkdir()
    (made / "cc").write_text("#!/bin/sh\necho 'the linker is on strike' >&2\nexit 3\n")
    (made / "cc").chmod(0o755)
    return made


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the failing compiler is a shell script")


@needs_sh
def test_where_no_compiler_works_ziglang_is_asked_for(failing, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(failing))
    assert build.find_compiler() is None
    hook = build.MachineHook(str(failing), {}, None, None, str(failing), "wheel")
    assert hook.dependencies() == [build.ZIGLANG]


@needs_sh
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not found")
def test_a_failing_compiler_is_passed_over(failing, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", f"{failing}{os.pathsep}{os.environ['PATH']}")
    assert build.find_compiler() == ("gcc",)


def test_the_compiler_that_is_named_is_taken(monkeypatch):
    monkeypatch.setenv("CC", "my-cc --sysroot '/a folder'")
    assert build.find_compiler() == ("my-cc", "--sysroot", "/a folder")
    monkeypatch.setenv("CC", "ziglang")
    assert build.find_compiler() is None


@needs_sh
def test_a_failure_shows_the_command_and_the_compilers_words(failing, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(failing / "cc"))
    with pytest.raises(build.CompilerError) as caught:
        build.compile_machine(tmp_path)
    message = str(caught.value)
    for part in (f"{failing / 'cc'} -std=c11", "elementwise.c", "the linker is on strike", "exit code 3", "CC=ziglang"):
        assert part in message
    assert list(tmp_path.iterdir()) == [failing]


def test_a_compiler_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(build.CompilerError, match="No such file or directory: 'no-such-compiler'"):
        build.compile_machine(tmp_path)
    monkeypatch.setenv("CC", "ziglang")
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build.CompilerError, match=r"no C compiler.*\n.*ziglang"):
        build.compile_machine(tmp_path)


def test_no_level_is_tuned_to_the_machine_that_compiles():
    assert build.level_flags(("cc",), library.GENERIC) == []
    assert build.level_flags(("cc",), "x86-64-v3") == ["-march=x86-64-v3"]
    assert build.level_flags(build.ZIG, "x86-64-v3") == ["-s", "-mcpu=x86_64_v3"]
    assert build.level_flags(build.ZIG, library.GENERIC) == ["-s", "-mcpu=baseline"]
    assert not any("native" in flag for flag in build.FLAGS)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not found")
def test_a_wheel_works_outside_of_the_checkout(tmp_path, root):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH", "DS3BAYES_MACHINE", "DS3BAYES_MACHINE_LEVEL"}
    }

    def run(*command, folder=tmp_path):
        done = subprocess.run(
            [str(one) for one in command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # The wheel is made from the sdist.
    run("uv", "build", "--quiet", "--out-dir", tmp_path / "dist", folder=root)
    (sdist,), (wheel,) = (list((tmp_path / "dist").glob(names)) for names in ("*.tar.gz", "*.whl"))
    assert sdist.name.startswith("ds3bayes-")
    assert "-none-any" not in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("ds3bayes/py.typed", "/licenses/LICENSE", f"{library.FOLDER}/{library.DIGESTS}"):
        assert any(name.endswith(part) for name in names), part
    assert not [name for name in names if name.endswith((".c", ".h", "engine/build.py"))]
    missing = [
        path.relative_to(root).as_posix()
        for path in (root / "ds3bayes").rglob("*")
        if path.is_file()
        and path.suffix not in {".c", ".h", ".pyc"}
        and path != root / "ds3bayes" / "engine" / "build.py"
        if path.relative_to(root).as_posix() not in names
    ]
    assert missing == []

    project = tomllib.loads((root / "pyproject.toml").read_text())
    tested = tmp_path / "constraints.txt"
    tested.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    # Where uv is a shim of a version manager, it is found in the checkout only; what is installed runs outside of it.
    run("uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "fresh", folder=root)
    scripts = tmp_path / "fresh" / ("Scripts" if sys.platform == "win32" else "bin")
    run("uv", "pip", "install", "-q", "--python", scripts / "python", "--constraint", tested, wheel, folder=root)
    where, draws = run(scripts / "python", "-c", SMOKE).split()
    assert Path(where).is_relative_to(tmp_path / "fresh")
    assert draws == "20"
    assert "validate" in run(scripts / "ds3bayes", "--help")
    # A shipped calibration, and what is installed, without a clone.
    assert "game24" in run(scripts / "ds3bayes", "example")
    run(scripts / "ds3bayes", "example", "game24", "-o", "first")
    run(scripts / "ds3bayes", "validate", Path("first") / "game24.toml")
    assert "engine: ok" in run(scripts / "ds3bayes", "doctor")
