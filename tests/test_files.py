"""Files: nothing is overwritten that is not ours, nothing is half-written, and one process writes at a time."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import ds3bayes as ds3
from ds3bayes import cli, files
from ds3bayes.evals.read import _load_csv
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference import store
from ds3bayes.reports.write import report

TABLE = pd.DataFrame({"model": "m", "benchmark": "b", "task": ["t0", "t1"], "strategy": "cot"})
TABLE = TABLE.assign(attempts=8, successes=[3, 5], tokens_mean=100.0)


@pytest.fixture(autouse=True)
def _released():
    yield
    files.release()


@pytest.fixture(scope="module")
def saved(simulated_fit, tmp_path_factory):
    return ds3.save(simulated_fit, tmp_path_factory.mktemp("files") / "run.nc")


@pytest.fixture
def fit_file(saved, tmp_path):
    return Path(shutil.copy(saved, tmp_path / "fit.nc"))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- what is there ---


def test_every_kind_of_output_says_what_it_is(simulated_fit, tmp_path):
    pred = ds3.predict(simulated_fit, ["cot"])
    report(simulated_fit, pred, tmp_path / "r.html", checks=[])
    ds3.save(simulated_fit, tmp_path / "f.nc")
    store.save_dataset(pred, tmp_path / "p.nc")
    files.write(tmp_path / "t.parquet", "table", files.parquet_bytes(TABLE))
    files.write(tmp_path / "s.toml", "spec", files.spec_bytes(ModelSpec().to_toml()))
    files.write(tmp_path / "j.xml", "junit", files.remarked("junit", "<?xml version='1.0' encoding='utf-8'?>\n<x/>"))
    kinds = {"r.html": "page", "r.md": "text", "f.nc": "fit", "p.nc": "dataset", "t.parquet": "table"}
    kinds |= {"s.toml": "spec", "j.xml": "junit"}
    assert {name: files.kind_of(tmp_path / name) for name in kinds} == kinds
    assert {files.kind_of(path) for path in (tmp_path / "tables").iterdir()} == {"table"}
    assert ModelSpec.from_toml(tmp_path / "s.toml") == ModelSpec()
    for place in names(tmp_path):
        path = tmp_path / place
        if path.is_file():
            wanted = files.kind_of(path)
            # Each may be written again, and stands in the way of all others.
            assert files.refuse_taken(path, wanted) == path
            other = "text" if wanted == "junit" else "junit"
            with pytest.raises(ds3.InputError, match="so it is kept"):
                files.refuse_taken(path, other)


FOREIGN = {
    "a.csv": TABLE.to_csv(index=False).encode(),
    "quoted.csv": TABLE.to_csv(index=False, quoting=1).encode(),
    "r.csv": b'"model","task","n"\n"m","t0",1\n"m","t, 1",2\n',
    "a.html": b"<!doctype html><title>mine</title>",
    "a.md": b"# written by ds3bayes, and then by me\n",
    "a.toml": b'name = "mine"\n',
    "a.json": b"{}",
    "a.xml": b"<?xml version='1.0'?><x/>",
    "a.png": b"\x89PNG\r\n\x1a\n mine",
    "a.parquet": b"PAR1 mine",
    "a.nc": b"\x89HDF mine",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_wrote_is_kept(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FOREIGN[name])
    for kind, one in files.KINDS.items():
        if not one.suffixes or path.suffix in one.suffixes:
            with pytest.raises(ds3.InputError, match="was not written by ds3bayes, so it is kept"):
                files.write(path, kind, b"new")
    assert path.read_bytes() == FOREIGN[name]
    assert names(tmp_path) == {name}


def test_tables_of_others_in_parquet_and_netcdf_are_kept(tmp_path):
    TABLE.to_parquet(tmp_path / "a.parquet")
    xr.Dataset({"x": 1.0}).to_netcdf(tmp_path / "a.nc")
    for name, kind in (("a.parquet", "table"), ("a.nc", "dataset"), ("a.nc", "fit")):
        with pytest.raises(ds3.InputError, match="was not written by ds3bayes"):
            files.refuse_taken(tmp_path / name, kind)


def test_a_spec_that_was_changed_by_hand_is_kept(tmp_path):
    path = files.write(tmp_path / "spec.toml", "spec", files.spec_bytes('name = "a"\n'))
    files.write(path, "spec", files.spec_bytes('name = "b"\n'))
    path.write_text(path.read_text().replace('"b"', '"mine"'))
    with pytest.raises(ds3.InputError, match="was changed since ds3bayes wrote it, so it is kept"):
        files.write(path, "spec", files.spec_bytes('name = "c"\n'))
    assert '"mine"' in path.read_text()


def test_an_input_is_no_output_by_any_name(run, fit_file, tmp_path):
    (tmp_path / "link.nc").symlink_to(fit_file)
    os.link(fit_file, tmp_path / "hard.nc")
    before, content = names(tmp_path), fit_file.read_bytes()
    for place in ("fit.nc", "link.nc", "hard.nc", "../" + tmp_path.name + "/fit.nc"):
        code, _, err = run("predict", "fit.nc", "-s", "cot", "-o", place)
        assert code == 2
        assert "is what is read" in err
    code, _, err = run("report", "fit.nc", "-o", "spec.toml")
    assert code == 2
    assert ".html" in err
    assert names(tmp_path) == before
    assert fit_file.read_bytes() == content


def test_a_fit_is_not_replaced_by_predictions_nor_they_by_a_fit(run, fit_file, tmp_path):
    other = Path(shutil.copy(fit_file, tmp_path / "other.nc"))
    code, _, err = run("predict", fit_file, "-s", "cot", "-o", other)
    assert (code, "other.nc: is a fit, not a dataset" in err) == (2, True)
    assert run("predict", fit_file, "-s", "cot", "-o", "pred.nc")[0] == 0
    assert run("predict", fit_file, "-s", "cot", "-o", "pred.nc")[0] == 0
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "s.toml").write_text('data = {path = "t.csv"}\n')
    code, _, err = run("fit", "s.toml", "-o", "pred.nc")
    assert (code, "not a fit, so it is kept" in err) == (2, True)


def test_a_report_does_not_replace_the_readme(run, fit_file, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    code, _, err = run("report", fit_file, "-o", "README.html")
    assert (code, "README.md" in err) == (2, True)
    (tmp_path / "tables").mkdir()
    report_of = ds3.load(fit_file)
    report(report_of, ds3.predict(report_of, ["cot"]), tmp_path / "first.html", checks=[])
    taken = next((tmp_path / "tables").iterdir())
    taken.write_text("mine\n1\n")
    for left in ("first.html", "first.md"):
        (tmp_path / left).unlink()
    with pytest.raises(ds3.InputError, match=taken.name):
        report(report_of, ds3.predict(report_of, ["cot"]), tmp_path / "first.html", checks=[])
    assert not (tmp_path / "first.html").exists()


def test_links_go_on_pointing(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "deep" / "real.csv")
    files.write(tmp_path / "link.csv", "table", files.csv_bytes(TABLE))
    assert (tmp_path / "link.csv").is_symlink()
    assert files.kind_of(tmp_path / "deep" / "real.csv") == "table"


def test_an_empty_file_and_devices(tmp_path):
    empty = tmp_path / "summary"
    empty.touch()
    files.write(empty, "text", files.remarked("text", "hello"))
    with pytest.raises(ds3.InputError, match="is a device"):
        files.write("/dev/null", "text", b"x")
    os.mkfifo(tmp_path / "pipe.toml")
    for read in (ModelSpec.from_toml, ds3.load):
        for place in (tmp_path / "pipe.toml", "/dev/zero"):
            with pytest.raises(ds3.InputError, match="is a device, a pipe or a socket"):
                read(place)
    os.rename(tmp_path / "pipe.toml", tmp_path / "pipe.csv")
    with pytest.raises(ds3.InputError, match="is a device, a pipe or a socket"):
        ds3.read_evals(tmp_path / "pipe.csv")


# --- names of folders ---


def test_a_spec_without_a_name_has_that_of_its_file(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    assert ModelSpec.from_toml(tmp_path / "mine.toml").name == "mine"
    (tmp_path / "mine.toml").write_text('name = "given"')
    assert ModelSpec.from_toml(tmp_path / "mine.toml").name == "given"


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc", "..", ".", "", "a\0b", "a\nb", "x" * 500, "a/../../b", "\ud800"]
)
def test_names_of_folders_stay_inside(tmp_path, name):
    place = (tmp_path / files.folder_name(name)).resolve()
    assert place.parent == tmp_path
    place.mkdir()
    assert files.folder_name(name) != files.folder_name(name + "x")


def test_plain_names_stay_as_they_are():
    for name in ("game24", "my spec", "naïve-v1.2"):
        assert files.folder_name(name) == name


# --- one writer at a time ---

HOLD = """
import sys, time
from ds3bayes import files
files.stop_politely()
try:
    files.claim_folder(sys.argv[1], {}) if sys.argv[2] == "folder" else files.claim(*sys.argv[1:])
    print("held", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
finally:
    files.release()
"""


def holder(path: Path, kind: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), kind], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen, how: signal.Signals) -> str:
    process.send_signal(how)
    return process.communicate(timeout=30)[0]


def test_a_folder_is_for_one_run(tmp_path):
    process = holder(tmp_path / "out", "folder")
    try:
        for path, kind in ((tmp_path / "out", "folder"), (tmp_path / "out" / "run.nc", "fit")):
            with pytest.raises(ds3.InputError, match=rf"is being written by process {process.pid} on .*; wait for it"):
                files.claim_folder(path, {}) if kind == "folder" else files.claim(path, kind)
        # Beside it there is room.
        files.claim(tmp_path / "other.nc", "fit")
    finally:
        assert ended(process, signal.SIGTERM) == "stopped\n"
    files.release()
    # Nothing was written, so nothing is left.
    assert names(tmp_path) == set()
    files.claim_folder(tmp_path / "out", {})


def test_a_lock_ends_with_its_process(tmp_path):
    ended(holder(tmp_path / "out", "folder"), signal.SIGKILL)
    files.claim_folder(tmp_path / "out", {})
    files.release()
    assert names(tmp_path) == {"out"}


def test_a_file_is_for_one_process_and_its_folder_is_shared(tmp_path):
    process = holder(tmp_path / "a.nc", "fit")
    try:
        files.claim(tmp_path / "b.nc", "fit")
        with pytest.raises(ds3.InputError, match=rf"a\.nc: is being written by process {process.pid} "):
            files.claim(tmp_path / "a.nc", "fit")
        with pytest.raises(ds3.InputError, match="is named for two outputs"):
            files.claim(tmp_path / "b.nc", "fit")
        files.release()
        with pytest.raises(ds3.InputError, match="is being written by process"):
            files.claim_folder(tmp_path, {"run.nc": "fit"})
    finally:
        ended(process, signal.SIGTERM)
    files.release()
    assert names(tmp_path) == set()


def test_temporary_files_of_dead_processes_are_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [f".ds3bayes-{files._HOST}-{os.getpid()}-x.nc", f".ds3bayes-elsewhere-{dead.pid}-x.nc", ".ds3bayes-mine"]
    for name in [*kept, f".ds3bayes-{files._HOST}-{dead.pid}-x.nc"]:
        (tmp_path / name).touch()
    files.claim(tmp_path / "a.nc", "fit")
    files.release()
    assert names(tmp_path) == set(kept)


def test_a_place_that_cannot_be_written_to_is_refused_at_once(run, fit_file, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in ("file/deep/p.nc", "/proc/nowhere/p.nc"):
        code, _, err = run("predict", fit_file, "-s", "cot", "-o", place)
        assert (code, "is not a folder that you may write to" in err) == (2, True)


# --- when writing fails ---


def test_a_fit_that_cannot_be_saved_is_kept_elsewhere(simulated_fit, tmp_path, monkeypatch):
    room = files.need_room

    def full(folder, size):
        if folder == tmp_path:
            raise OSError(28, "No space left on device")
        room(folder, size)

    monkeypatch.setattr(files, "need_room", full)
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr(store.tempfile, "gettempdir", lambda: str(tmp_path / "spare"))
    with pytest.raises(files.OutputError, match=r"run\.nc: could not be written: No space left on device") as caught:
        ds3.save(simulated_fit, tmp_path / "run.nc")
    kept = str(caught.value).partition("the fit is kept in ")[2].partition(": move it")[0]
    np.testing.assert_array_equal(ds3.load(kept)["posterior"]["location"], simulated_fit["posterior"]["location"])
    assert {path.name for path in tmp_path.iterdir()} == {"spare"}


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 kB, where one can be made."""
    place = tmp_path / "small"
    place.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", place], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("only the administrator may mount a small disk")
    yield place
    # A write that failed leaves the netCDF library with an open file.
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("foreseen", [True, False])
def test_a_full_disk(small_disk, simulated_fit, monkeypatch, foreseen):
    if not foreseen:
        # As under a quota: the library finds out while it writes.
        monkeypatch.setattr(files, "need_room", lambda *_: None)
    with pytest.raises(files.OutputError, match=r"the fit is kept in .*: move it where you want") as caught:
        ds3.save(simulated_fit, small_disk / "run.nc")
    kept = Path(str(caught.value).partition("the fit is kept in ")[2].partition(": move it")[0])
    ds3.load(kept)
    shutil.rmtree(kept.parent)
    assert list(small_disk.iterdir()) == []


def test_exit_code_3_says_where_the_fit_is(run, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise files.OutputError("run.nc: could not be written; the fit is kept in /elsewhere/run.nc")

    monkeypatch.setattr(cli, "_write_dataset", fails)
    code, _, err = run("simulate", "-o", "a.csv", "--tasks", 5)
    assert code == 3
    assert "kept in /elsewhere/run.nc" in err


def test_what_cannot_be_read_is_not_called_a_place_to_write(run, monkeypatch):
    def fails(*_, **__):
        raise PermissionError(13, "Permission denied", "secret.csv")

    monkeypatch.setattr("ds3bayes.evals.read_evals", fails)
    code, _, err = run("import", "x", "-o", "a.csv")
    assert (code, err.splitlines()[-1]) == (2, "error: secret.csv: cannot be read: Permission denied")


# --- a fit is what it says ---


def flips(saved: Path, place: Path, count: int, seed: int) -> dict[str, int]:
    whole = ds3.load(saved)
    content = bytearray(saved.read_bytes())
    rng = random.Random(seed)
    found = {"equal": 0, "refused": 0}
    for _ in range(count):
        at = rng.randrange(len(content))
        bit = 1 << rng.randrange(8)
        content[at] ^= bit
        place.write_bytes(content)
        content[at] ^= bit
        try:
            loaded = ds3.load(place)
        except ds3.InputError:
            found["refused"] += 1
            continue
        assert loaded.identical(whole), f"byte {at}, bit {bit}"
        found["equal"] += 1
    return found


def test_a_damaged_fit_is_refused_or_the_same(saved, tmp_path):
    found = flips(saved, tmp_path / "damaged.nc", 40, 0)
    assert found["refused"] > 10


@pytest.mark.slow
def test_many_damaged_fits_are_refused_or_the_same(saved, tmp_path):
    found = flips(saved, tmp_path / "damaged.nc", 400, 1)
    assert found["refused"] > 100


@pytest.mark.parametrize("change", ["value", "name", "attribute", "spec", "digest"])
def test_the_digest_is_over_all_that_is_stored(saved, fit_file, change):
    import netCDF4

    # Without its seal, as other programs leave it.
    content = fit_file.read_bytes()
    fit_file.write_bytes(content[: files._SEAL.search(content).start()])
    ds3.load(fit_file)
    with netCDF4.Dataset(fit_file, "a") as file:
        if change == "value":
            file["posterior"]["location"][0, 0] += 1e-12
        elif change == "name":
            file["posterior"].renameVariable("location", "elsewhere")
        elif change == "attribute":
            file["constant_data"].setncattr("source", "another")
        elif change == "spec":
            file.setncattr("spec", file.getncattr("spec").replace('"output_usd":8.0', '"output_usd":9.0'))
        else:
            file.delncattr("digest")
    wanted = "has no digest of its values" if change == "digest" else "its values do not match their digest"
    with pytest.raises(ds3.InputError, match=rf"{wanted} \(the file was altered\); refit"):
        ds3.load(fit_file)


def test_what_others_append_or_damage_is_noticed_before_the_library_opens_it(fit_file):
    content = bytearray(fit_file.read_bytes())
    content[len(content) // 2] ^= 1
    fit_file.write_bytes(content)
    assert files.kind_of(fit_file) is None
    with pytest.raises(ds3.InputError, match=r"does not match the digest at its end \(the file was altered\); refit"):
        ds3.load(fit_file)


# --- tables ---

cells = st.text(alphabet="=+-@'\t ab,\"1\uff1d\u00e9", max_size=6).filter(lambda text: text == text.strip())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(cells.filter(bool), cells), min_size=1, max_size=5))
def test_cells_come_back_and_none_is_a_formula(rows):
    frame = pd.DataFrame(rows, columns=["model", "=note"]).assign(number=-1.5)
    written = files.csv_bytes(frame)
    path = Path(os.environ["PYTEST_CELLS"]) / "cells.csv"
    path.write_bytes(written)
    assert files.kind_of(path) == "table"
    found, headers = _load_csv(path)
    assert headers == ("model", "'=note", "number")
    assert found.iloc[:, :2].to_numpy().tolist() == [list(row) for row in rows]
    assert set(found.iloc[:, 2]) == {"-1.5"}
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert not any(cell[:1] in tuple("=+-@\t\r\n") and cell for cell in raw.iloc[:, :2].to_numpy().ravel())


@pytest.fixture(autouse=True)
def _place_for_cells(tmp_path_factory):
    # Hypothesis wants no fixture that is made anew for each example.
    os.environ["PYTEST_CELLS"] = str(tmp_path_factory.mktemp("cells"))
    yield
    del os.environ["PYTEST_CELLS"]


def test_import_of_names_that_look_like_formulas(run, tmp_path):
    odd = TABLE.assign(model=["=cmd|' /C calc'!A0", "'-m"], task=["-1", "@t"])
    odd.to_csv(tmp_path / "t.csv", index=False)
    assert run("import", "t.csv", "-o", "a.csv")[0] == 0
    assert run("import", "a.csv", "-o", "b.csv")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert "\"'=cmd" not in (tmp_path / "t.csv").read_text()
    first, second = (ds3.read_evals(tmp_path / name) for name in ("t.csv", "b.csv"))
    assert first.attrs["data_sha256"] == second.attrs["data_sha256"]


# --- killed at any moment ---


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_random_moments(saved, tmp_path, how):
    """Run, save and report: what is there afterwards is whole; the next command sweeps the rest, and goes on."""
    (tmp_path / "s.toml").write_text(
        'data = {path = "t.csv"}\nsampling = {draws = 400, tune = 300, chains = 3}\nquery = {tasks = "observed"}\n'
    )
    evals = ds3.simulate(tasks=8, attempts=4, seed=1).evals
    ds3.evals.to_table(evals).to_csv(tmp_path / "t.csv", index=False)
    shutil.copy(saved, tmp_path / "f.nc")
    commands = [["run", "s.toml", "-o", "out"], ["fit", "s.toml", "-o", "g.nc"], ["report", "f.nc", "-o", "r.html"]]

    def start(command):
        # A shell's background jobs ignore Ctrl-C.
        heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        whole = [sys.executable, "-c", f"{heeding}; from ds3bayes.cli import main; main()", *command]
        return subprocess.Popen(whole, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    rng = random.Random(int(how))
    longest, kills = 20.0, 0
    for turn in range(12):
        started = time.monotonic()
        process = start(commands[turn % 3])
        try:
            _, said = process.communicate(timeout=rng.uniform(0.0, longest))
            longest = time.monotonic() - started
        except subprocess.TimeoutExpired:
            kills += 1
            # Libraries lose an exception now and then, while they are imported say: people press Ctrl-C again.
            for _ in range(20):
                process.send_signal(how)
                with suppress(subprocess.TimeoutExpired):
                    _, said = process.communicate(timeout=5)
                    break
        assert process.returncode in (0, 130, -how), said
        hidden = [path for path in tmp_path.rglob(".*") if path.is_file()]
        assert how == signal.SIGKILL or process.returncode == -how or not hidden, hidden
        for path in tmp_path.rglob("*.*"):
            if path.is_file() and not path.name.startswith(".") and path.parent.suffix != ".unfinished":
                whole_or_raise(path)
    assert kills >= 7
    fits = []
    for command, path in ((commands[0], "out/run.nc"), (commands[1], "g.nc")):
        _, said = start(command).communicate(timeout=600)
        fits.append(ds3.load(tmp_path / path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        spec = ModelSpec.from_toml(tmp_path / "s.toml")
        never_killed = ds3.fit(spec.data.read(), spec, progress=False)
    for group in ("posterior", "sample_stats", "task_effects"):
        for fit in fits:
            xr.testing.assert_equal(fit[group].to_dataset(), never_killed[group].to_dataset())
    for place in (tmp_path, tmp_path / "out"):
        files.claim_folder(place, {})
        files.release()
        assert not [path for path in place.glob(".*") if path.is_file()]
        assert not [path for path in place.glob("*.unfinished") if path.is_dir()]


def whole_or_raise(path: Path) -> None:
    kind = files.kind_of(path)
    if path.name in ("t.csv", "s.toml"):
        return
    assert kind is not None, path
    if kind == "fit":
        ds3.load(path)
    elif kind == "dataset":
        xr.load_dataset(path, engine="netcdf4")
    elif kind == "page":
        assert path.read_text().rstrip().endswith("</html>")
    elif kind == "table":
        pd.read_csv(path)
