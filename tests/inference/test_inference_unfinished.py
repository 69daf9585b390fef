"""Work that was interrupted goes on from what is whole of it, and from nothing of other work."""

import numpy as np
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes import files
from ds3bayes.engine import journal
from ds3bayes.inference.unfinished import Unfinished, about_fit, keeping_in, remove_unfinished, unfinished_of
from ds3bayes.queries.calibration import by_simulation, held_out

ABOUT = {"model": "a", "data": "b"}
GROUPS = ("posterior", "sample_stats", "task_effects", "log_likelihood")


@pytest.fixture(scope="module")
def evals():
    return ds3.simulate(tasks=5, attempts=6, seed=2).evals


def interrupted(monkeypatch, place, name, after, error=KeyboardInterrupt):
    """Let a function that is called again and again fail once it was called so often."""
    whole, calls = getattr(place, name), []

    def failing(*arguments, **named):
        calls.append(name)
        if len(calls) > after:
            raise error
        return whole(*arguments, **named)

    monkeypatch.setattr(place, name, failing)
    return calls


def test_a_fit_goes_on_from_its_chains(evals, tmp_path, monkeypatch, short_fit, capsys):
    given = {"draws": 20, "tune": 20, "chains": 3, "cores": 1}
    whole = short_fit(evals, **given)
    folder = unfinished_of(tmp_path / "run.nc")
    with monkeypatch.context() as patch:
        interrupted(patch, Unfinished, "keep_chain", 1)
        with pytest.raises(KeyboardInterrupt):
            short_fit(evals, resume=folder, **given)
    assert {path.name for path in folder.iterdir()} == {"about.json", "chain-0.npz", "chain-1.journal"}
    assert capsys.readouterr().err == ""
    begun = interrupted(monkeypatch, journal.Journal, "__init__", 9)
    again = short_fit(evals, resume=folder, **given)
    assert "unfinished: 1 chain done, " in capsys.readouterr().err
    assert len(begun) == 2
    for group in GROUPS:
        xr.testing.assert_identical(again[group].to_dataset(), whole[group].to_dataset())
    ds3.save(again, tmp_path / "run.nc")
    assert {path.name for path in tmp_path.iterdir()} == {"run.nc"}


def test_a_fit_is_told_by_all_that_decides_its_numbers(evals):
    spec = ds3.ModelSpec()
    mine = about_fit(spec, evals, sampling=spec.sampling)
    other = spec.model_copy(update={"sampling": spec.sampling.model_copy(update={"seed": 4})})
    prior = ds3.ModelSpec.from_dict({"priors": {"spread": {"family": "HalfNormal", "sigma": 2.0}}})
    for differs, about in (
        ("sampling", about_fit(other, evals, sampling=other.sampling)),
        ("data", about_fit(spec, evals.isel(row=slice(1, None)), sampling=spec.sampling)),
        ("model", about_fit(prior, evals, sampling=prior.sampling)),
    ):
        assert {name for name in mine if about[name] != mine[name]} == {differs}


def test_parts_are_whole_or_not_there(tmp_path):
    arrays = {"a/b": np.arange(6.0).reshape(2, 3), "text": np.array(["x", ""]), "one": np.array(True)}
    with keeping_in(tmp_path / "x", ABOUT) as kept:
        kept.keep("fit", 3, arrays)
        found = kept.get("fit", 3)
        assert list(found) == list(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
        path = tmp_path / "x" / "fit-3.npz"
        content = path.read_bytes()
        rng = np.random.default_rng(1)
        for at in rng.integers(len(content), size=20):
            path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
            assert kept.get("fit", 3) is None
            path.write_bytes(content[:at])
            assert kept.get("fit", 3) is None
        assert kept.get("fit", 4) is None


def test_a_folder_belongs_to_one_process_and_one_work(tmp_path, capsys):
    folder = tmp_path / "x"
    with keeping_in(folder, ABOUT) as kept:
        kept.keep("fit", 0, {"a": np.zeros(1)})
        with pytest.raises(ds3.InputError, match="is named for two outputs"), keeping_in(folder, ABOUT):
            pass
        remove_unfinished(folder)
        assert kept.get("fit", 0) is not None
    with keeping_in(folder, ABOUT) as kept:
        assert kept.get("fit", 0) is not None
    assert f"going on from {folder}: 1 fit done" in capsys.readouterr().err
    with keeping_in(folder, {**ABOUT, "seed": "1"}) as kept:
        assert kept.get("fit", 0) is None
    assert "(1 fit done) is of another seed" in capsys.readouterr().err
    (folder / "mine.txt").write_text("kept")
    remove_unfinished(folder)
    assert {path.name for path in folder.iterdir()} == {"mine.txt"}
    with pytest.raises(ds3.InputError, match="is a folder of something else"), keeping_in(folder, ABOUT):
        pass
    with keeping_in(None, ABOUT) as kept:
        assert kept is None


def test_a_disk_that_cannot_keep_it_ends_nothing(evals, tmp_path, monkeypatch, short_fit):
    def full(path, content):
        if path.suffix == ".npz":
            raise OSError(28, "No space left on device")
        replace(path, content)

    replace = files.replace
    monkeypatch.setattr(files, "replace", full)
    with pytest.warns(UserWarning, match=r"x: not all that was done could be kept \(.*No space left on device\)"):
        found = short_fit(evals, draws=10, tune=10, chains=1, resume=tmp_path / "x")
    assert found["posterior"].sizes["draw"] == 10


def test_sbc_goes_on_from_its_fits(evals, tmp_path, monkeypatch):
    given = {"fits": 2, "tune": 20, "thin": 1, "cores": 1, "progress": False}
    whole = ds3.sbc(evals, **given)
    with monkeypatch.context() as patch:
        interrupted(patch, by_simulation, "_fit_one", 1)
        with pytest.raises(KeyboardInterrupt):
            ds3.sbc(evals, resume=tmp_path / "x", **given)
    made = interrupted(monkeypatch, by_simulation, "_fit_one", 9)
    again = ds3.sbc(evals, resume=tmp_path / "x", **given)
    assert len(made) == 1
    for ranks in (whole, again):
        for name in ("compile_seconds", "fit_seconds"):
            ranks.attrs.pop(name)
    xr.testing.assert_identical(again, whole)
    assert len(made) == 1


def test_held_out_calibration_goes_on_from_its_fits(tmp_path, monkeypatch):
    import pandas as pd

    rng = np.random.default_rng(3)
    rows = [
        {"model": f"llm{i}", "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 100}
        | {"successes": int(rng.binomial(100, rng.beta(1, 1)))}
        for i in range(2)
        for task in range(4)
    ]
    given = {"samples": (10,), "at": (20,), "seeds": 1, "least_attempts": 100, "progress": False}
    given |= {"draws": 20, "tune": 20, "chains": 1, "forecast_draws": 20, "baselines": ["beta-binomial"]}
    evals = ds3.read_evals(pd.DataFrame(rows))
    whole = ds3.held_out_calibration(evals, **given)
    with monkeypatch.context() as patch:
        interrupted(patch, held_out, "_fit", 1)
        with pytest.raises(KeyboardInterrupt):
            ds3.held_out_calibration(evals, resume=tmp_path / "x", **given)
    made = interrupted(monkeypatch, held_out, "_fit", 9)
    again = ds3.held_out_calibration(evals, resume=tmp_path / "x", **given)
    assert len(made) == 1
    xr.testing.assert_identical(again.drop_vars("seconds"), whole.drop_vars("seconds"))
