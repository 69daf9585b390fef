"""Fits on disk: the same after a round trip, refused when altered, never half-written."""

import json
import shutil
import warnings
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes import files
from ds3bayes.evals import data_sha256
from ds3bayes.inference import store
from ds3bayes.inference.artifact import spec_of


@pytest.fixture(scope="module")
def saved(simulated_fit, tmp_path_factory):
    return ds3.save(simulated_fit, tmp_path_factory.mktemp("store") / "deep" / "run.nc")


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copy(saved, tmp_path / "copy.nc")


def plain_text(dataset: xr.Dataset) -> xr.Dataset:
    """Text as object arrays, attributes as plain Python: netCDF may give other types of the same content."""
    changed = {
        name: (variable.dims, variable.astype(str).values.astype(object), variable.attrs)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "OUT"
    }
    return dataset.assign_coords(changed).reset_coords([name for name in changed if name not in dataset.coords])


def test_load_gives_back_what_was_saved(simulated_fit, saved):
    loaded = ds3.load(saved)
    assert set(loaded.children) == set(simulated_fit.children)
    for name, group in simulated_fit.children.items():
        old, new = plain_text(group.to_dataset()), plain_text(loaded[name].to_dataset())
        xr.testing.assert_equal(old, new)
        xr.testing.assert_identical(old.drop_attrs(), new.drop_attrs())
    assert set(loaded.attrs) == set(simulated_fit.attrs)
    for key, value in simulated_fit.attrs.items():
        assert loaded.attrs[key] == value, key


def test_predictions_do_not_change_on_the_way(simulated_fit, saved):
    strategies = ["cot", "best_of_n(n=4)"]
    xr.testing.assert_identical(
        ds3.predict(simulated_fit, strategies, tasks="new", seed=2),
        ds3.predict(ds3.load(saved), strategies, tasks="new", seed=2),
    )


def test_saving_twice_is_stable(saved, tmp_path):
    again = ds3.save(ds3.load(saved), tmp_path / "again.nc")
    old, new = ds3.load(saved), ds3.load(again)
    for name in old.children:
        xr.testing.assert_identical(old[name].to_dataset(), new[name].to_dataset())


def test_altered_data_are_refused(copy):
    with netCDF4.Dataset(copy, "a") as file:
        counts = file["observed_data"]["successes"]
        counts[0] = 5 if counts[0] != 5 else 4
    with pytest.raises(ds3.InputError, match=r"copy\.nc.*altered.*refit"):
        ds3.load(copy)


def test_another_models_spec_is_refused_and_the_differences_named(saved):
    spec = ds3.ModelSpec.from_dict(
        {
            "population": {"family": "normal", "path_length": 3},
            "priors": {"location": {"family": "Normal", "mu": 0.0, "sigma": 9.0}},
        }
    )
    with pytest.raises(ds3.InputError) as caught:
        ds3.load(saved, spec)
    message = str(caught.value)
    assert "fitted with another model" in message
    for part in ("population.family", "'split_normal'", "'normal'", "population.path_length", "priors.location"):
        assert part in message
    # Only what makes another model is listed, not the name or the sampling.
    assert "reachability" not in message


def test_the_same_models_spec_is_taken(saved, simulated_spec):
    ds3.load(saved, simulated_spec)
    ds3.load(saved, simulated_spec.model_copy(update={"name": "another name"}))


def test_a_kept_fit_answers_a_new_specs_questions_at_its_prices(saved, simulated_spec):
    content = simulated_spec.model_dump(mode="json", exclude_none=True)
    content["costs"]["*"]["output_usd"] *= 3
    content["query"] |= {"cost": "usd", "success": 0.25, "strategies": ["cot"]}
    before, after = ds3.load(saved), ds3.load(saved, ds3.ModelSpec.from_dict(content))
    xr.testing.assert_identical(before["posterior"].to_dataset(), after["posterior"].to_dataset())
    old, new = (ds3.predict(one, ["cot"], seed=3) for one in (before, after))
    np.testing.assert_allclose(new["usd"], 3 * old["usd"])
    decision = ds3.decide(after)
    assert decision.options["option"].tolist() == ["cot"]
    assert "success 0.25 " in decision.enough
    # What was kept is as it was, and other rows are another fit.
    assert json.loads(before.attrs["spec"])["costs"]["*"]["output_usd"] == 8.0
    content["data"] = {"path": "t.csv", "where": "attempts > 3"}
    with pytest.raises(ds3.InputError, match=r"where: fitted with None, spec has 'attempts > 3'"):
        ds3.load(saved, ds3.ModelSpec.from_dict(content))


def test_what_is_no_fit_is_refused(tmp_path):
    other = tmp_path / "other.nc"
    xr.Dataset({"x": ("y", [1.0])}).to_netcdf(other, engine="netcdf4")
    with pytest.raises(ds3.InputError, match=r"other\.nc is not a fit.*schema"):
        ds3.load(other)
    text = tmp_path / "text.nc"
    text.write_text("hello")
    with pytest.raises(ds3.InputError, match=r"text\.nc: not a readable netCDF"):
        ds3.load(text)
    with pytest.raises(ds3.InputError, match="no such fit"):
        ds3.load(tmp_path / "absent.nc")
    with pytest.raises(ds3.InputError):
        ds3.load(tmp_path)
    with pytest.raises(ds3.InputError, match="not a fit"):
        ds3.save(xr.DataTree(), tmp_path / "x.nc")


def test_a_fit_without_its_groups_is_refused(simulated_fit, tmp_path):
    hollow = xr.DataTree(name="hollow")
    hollow.attrs = dict(simulated_fit.attrs)
    hollow["posterior"] = simulated_fit["posterior"].copy()
    store._write_fit(hollow, tmp_path / "hollow.nc")
    with pytest.raises(ds3.InputError, match="not a fit"):
        ds3.load(tmp_path / "hollow.nc")


def test_a_truncated_file_is_refused(copy):
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) // 2])
    with pytest.raises(ds3.InputError, match=r"copy\.nc"):
        ds3.load(copy)


def test_a_newer_schema_is_refused(copy):
    with netCDF4.Dataset(copy, "a") as file:
        file.setncattr("schema", 99)
    with pytest.raises(ds3.InputError, match=r"newer.*upgrade"):
        ds3.load(copy)


def test_only_netcdf_names(simulated_fit, tmp_path):
    with pytest.raises(ds3.InputError, match=r"\.nc"):
        ds3.save(simulated_fit, tmp_path / "run.pkl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("NetCDF: HDF error"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(simulated_fit, copy, tmp_path, monkeypatch, error):
    before = copy.read_bytes()
    monkeypatch.setattr(store.tempfile, "gettempdir", lambda: str(tmp_path / "absent"))
    monkeypatch.setenv("HOME", str(tmp_path / "absent"))

    def half(self, path, **_):
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else files.OutputError) as caught:
        ds3.save(simulated_fit, copy)
    assert isinstance(error, KeyboardInterrupt) or "could be kept nowhere else" in str(caught.value)
    assert copy.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["copy.nc"]


def test_a_rename_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    old, new = (files.csv_bytes(pd.DataFrame({"x": [value]})) for value in (1, 2))
    path = files.write(tmp_path / "a.csv", "table", old)

    def fails(*_):
        raise OSError("no")

    monkeypatch.setattr(files.os, "replace", fails)
    with pytest.raises(files.OutputError, match=r"a\.csv: could not be written: no\. What was there"):
        files.write(path, "table", new)
    assert path.read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_saving_does_not_change_the_fit(simulated_fit, tmp_path):
    before = {name: node.to_dataset().copy(deep=True) for name, node in simulated_fit.children.items()}
    ds3.save(simulated_fit, tmp_path / "run.nc")
    for name, dataset in before.items():
        xr.testing.assert_identical(simulated_fit[name].to_dataset(), dataset)


def test_no_warnings_on_the_way(simulated_fit, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = ds3.load(ds3.save(simulated_fit, tmp_path / "run.nc"))
    assert np.isfinite(loaded["posterior"]["location"]).all()


def test_a_fit_of_schema_1_keeps_what_its_budgets_meant(tmp_path):
    rows = [(500, 30, 6, 300.0), (2000, 30, 12, 700.0), (8000, 30, 15, 900.0)]
    table = pd.DataFrame(rows, columns=["max_tokens", "attempts", "successes", "tokens_mean"])
    evals = ds3.read_evals(table.assign(model="m", benchmark="b", strategy="cot", tasks=30))
    spec = ds3.ModelSpec.from_dict(
        {"population": {"path_length": 5}, "query": {"strategies": ["cot(max_tokens=2000)"], "tasks": "new"}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(evals, spec, draws=20, tune=50, chains=2, seed=0, progress=False)
    # As it was written when there was one column, which cut aggregates.
    old = fit.copy()
    constant = fit["constant_data"].to_dataset()
    constant = constant.assign(budget_tokens=constant["max_tokens"]).drop_vars("max_tokens")
    old["constant_data"] = xr.DataTree(constant)
    stored = constant.drop_vars("held_out").assign(successes=fit["observed_data"]["successes"])
    old.attrs = fit.attrs | {"schema": 1, "data_sha256": data_sha256(stored)}
    old.attrs["spec"] = fit.attrs["spec"].replace("max_tokens=", "budget_tokens=")
    loaded = ds3.load(ds3.save(old, tmp_path / "old.nc"))
    assert spec_of(loaded).query.strategies == ("cot(max_tokens=2000)",)
    for strategies in (None, ["cot(max_tokens=1000)"]):
        xr.testing.assert_allclose(
            ds3.predict(loaded, strategies, tasks="new"), ds3.predict(fit, strategies, tasks="new"), rtol=1e-12
        )
