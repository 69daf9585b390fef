"""What a cluster of real worker processes makes is what this process makes, also when workers die."""

import importlib.metadata
import json
import os
import signal
import time
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes import cluster as spreading
from ds3bayes.cluster import ClusterError, workers
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference import check
from ds3bayes.inference.compiled import compile_model
from ds3bayes.inference.fit import sample_ahead
from ds3bayes.inference.unfinished import Unfinished
from ds3bayes.queries import grid
from ds3bayes.queries.calibration import by_simulation


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
        yield made


def kill(cluster, most):
    """Kill worker processes; their nannies start others."""
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        for pid in list(client.run(os.getpid).values())[:most]:
            os.kill(pid, signal.SIGKILL)


def slowly(item, shared):
    time.sleep(0.05)
    return item * shared


def where(item, ready):
    return os.getpid(), ready


def refuse(item, shared):
    raise OSError(f"item {item}")


def die(item, shared):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


# Test modules are not on workers: what they define must travel as code.
@pytest.fixture(scope="module", autouse=True)
def by_value():
    import sys

    from distributed.protocol.pickle import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("threads", [1, 3])
def test_here_as_there(cluster, threads):
    with workers(None, threads=threads) as spread:
        here = dict(spread(slowly, range(7), shared=2))
        with pytest.raises(OSError, match="item 0"):
            list(spread(refuse, [0], shared=1))
    with workers(cluster.scheduler_address) as spread:
        assert dict(spread(slowly, range(7), shared=2)) == here == {item: 2 * item for item in range(7)}
        with pytest.raises(OSError, match="item 0"):
            list(spread(refuse, [0], shared=1))


def test_a_process_prepares_once_what_is_shared(cluster):
    with workers(cluster.scheduler_address) as spread:
        found = {made for _, made in spread(where, range(20), shared=None, prepare=lambda _: uuid.uuid4().hex)}
    assert len(found) == len({pid for pid, _ in found}) <= 2
    assert os.getpid() not in {pid for pid, _ in found}


def test_a_worker_killed_midway_costs_a_grid_nothing(cluster, simulated_fit, monkeypatch):
    asked = (simulated_fit, ["cot", "best_of_n(n=4)"], [200, 500, 3000])
    monkeypatch.setattr(grid, "_PAIRS", 600)
    here = ds3.predict_grid(*asked)
    fill, chunks = grid._Sheet.fill, []

    def killing(sheet, run):
        for part in fill(sheet, run):
            chunks.append(part)
            if len(chunks) == 3:
                kill(cluster, 1)
            yield part

    monkeypatch.setattr(grid._Sheet, "fill", killing)
    xr.testing.assert_identical(ds3.predict_grid(*asked, scheduler=cluster.scheduler_address), here)
    assert len(chunks) > 10


def test_all_workers_killed_midway(cluster):
    with workers(cluster.scheduler_address) as spread:
        made = {}
        for place, result in spread(slowly, range(40), shared=np.arange(3)):
            made[place] = result
            if len(made) == 5:
                kill(cluster, 2)
    assert {place: result.tolist() for place, result in made.items()} == {i: [0, i, 2 * i] for i in range(40)}


def test_a_worker_killed_while_data_are_handed_out(cluster, monkeypatch):
    from distributed import Client

    scatter, killed = Client.scatter, []

    def dying(client, *arguments, **named):
        if not killed:
            killed.append(kill(cluster, 1))
        return scatter(client, *arguments, **named)

    monkeypatch.setattr(Client, "scatter", dying)
    with workers(cluster.scheduler_address) as spread:
        assert dict(spread(slowly, range(7), shared=2)) == {item: 2 * item for item in range(7)}


def test_what_ends_its_workers_is_named_and_the_rest_is_kept(cluster, monkeypatch):
    # By default three more workers get it, one after the other.
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    made = {}

    def collect(spread):
        for place, result in spread(die, range(12)):
            made[place] = result

    with (
        workers(cluster.scheduler_address) as spread,
        pytest.raises(ClusterError, match=r"given up \(number .*4.*\): each of 1 workers died of it"),
    ):
        collect(spread)
    assert 3 not in made
    # Others may have been beside it.
    assert len(made) >= 9


def test_leaving_cancels_what_is_left(cluster):
    with workers(cluster.scheduler_address) as spread:
        for _ in spread(slowly, range(10_000), shared=1):
            break
    assert not [task for task in cluster.scheduler.tasks.values() if task.state in ("waiting", "queued", "no-worker")]


def test_no_scheduler_and_no_worker(monkeypatch):
    from distributed import LocalCluster

    with pytest.raises(ds3.InputError, match="no Dask scheduler answers there"), workers("nowhere"):
        pass
    monkeypatch.setattr(spreading, "_START", 0.5)
    with LocalCluster(n_workers=0, processes=True, dashboard_address=":0") as empty:
        address = empty.scheduler_address
        with pytest.raises(ds3.InputError, match=rf"no worker within 0.5 s.*`dask worker {address}`"), workers(address):
            pass


def test_other_versions_are_named(cluster):
    from distributed import Client

    def pretend(there):
        importlib.metadata.version = (
            importlib.metadata.real if there is None else lambda name: there.get(name, importlib.metadata.real(name))
        )

    def keep():
        importlib.metadata.real = importlib.metadata.version

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        first, second = sorted(client.nthreads())
        client.run(keep)
        client.run(pretend, {"numpy": "1.0", "pymc": "0.1"}, workers=[first])
        mine = importlib.metadata.version("numpy")
        try:
            with (
                pytest.raises(ds3.InputError, match="2 faults") as caught,
                workers(cluster.scheduler_address),
            ):
                pass
        finally:
            client.run(pretend, None)
    assert f"worker {first}: numpy 1.0, here {mine}" in str(caught.value)
    assert "pymc 0.1" in str(caught.value)
    assert second not in str(caught.value)


def test_sbc_is_the_same_there(cluster):
    evals = ds3.simulate(tasks=2, attempts=4, seed=1).evals
    given = {"fits": 3, "tune": 20, "thin": 1, "progress": False}
    here = ds3.sbc(evals, **given)
    there = ds3.sbc(evals, scheduler=cluster.scheduler_address, **given)
    for ranks in (here, there):
        for name in ("compile_seconds", "fit_seconds"):
            ranks.attrs.pop(name)
    xr.testing.assert_identical(here, there)
    assert np.unique(here["location"]).size > 1


def test_chains_of_fits_are_the_same_there_and_go_on_after_a_failure(cluster, tmp_path, monkeypatch, short_fit):
    sampling = {"draws": 20, "tune": 20, "chains": 2}
    specs = [ds3.ModelSpec.from_dict({"sampling": {**sampling, "seed": seed}}) for seed in (1, 2)]
    evals = ds3.simulate(tasks=3, attempts=4, seed=1).evals
    here = [compile_model(make_design(evals, spec), spec, swap=False).sample(spec.sampling) for spec in specs]
    fits = [(evals, spec, tmp_path / str(place)) for place, spec in enumerate(specs)]
    keep = Unfinished.keep_chain

    def failing(kept, number, drawn):
        keep(kept, number, drawn)
        raise ClusterError("all workers are gone")

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "keep_chain", failing)
        with pytest.raises(ClusterError):
            sample_ahead(fits, cluster.scheduler_address, progress=False)
    assert len(list(tmp_path.glob("*/chain-*.npz"))) == 1
    sample_ahead(fits, cluster.scheduler_address, progress=False)
    assert len(list(tmp_path.glob("*/chain-*.npz"))) == 4
    # Nothing is left to sample, here or there.
    given = {"seed": 2, "scheduler": "nowhere", **sampling}
    found = short_fit(evals, specs[1], resume=tmp_path / "1", **given)
    xr.testing.assert_identical(found["posterior"].to_dataset(), here[1]["posterior"].to_dataset())
    for place in (0, 1):
        kept = Unfinished(tmp_path / str(place))
        for chain in (0, 1):
            drawn = kept.chain(chain)[0]["spread"]
            np.testing.assert_array_equal(drawn, here[place]["posterior"]["spread"].values[chain])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")
def test_a_run_of_several_specs_is_the_same_there(cluster, run, tmp_path):
    """From specifications to reports: what each folder holds is what it holds without a cluster."""
    specs = []
    for seed in (1, 2):
        table = ds3.evals.to_table(ds3.simulate(tasks=4, attempts=6, seed=seed).evals)
        table.to_csv(tmp_path / f"table-{seed}.csv", index=False)
        specs.append(tmp_path / f"spec-{seed}.toml")
        specs[-1].write_text(
            f'name = "of-{seed}"\n[data]\npath = "table-{seed}.csv"\n'
            f"[sampling]\ndraws = 40\ntune = 40\nchains = 2\nseed = {seed}\n"
        )
    for folder, where in (("there", ["--scheduler", cluster.scheduler_address]), ("here", [])):
        code, out, err = run("run", *specs, "-o", folder, "--json", *where)
        assert code == 0, err
        assert [Path(json.loads(line)["folder"]).name for line in out.splitlines()] == ["of-1", "of-2"]
    for name in ("of-1", "of-2"):
        here, there = tmp_path / "here" / name, tmp_path / "there" / name
        one, other = (ds3.load(folder / "run.nc") for folder in (here, there))
        for group in ("posterior", "task_effects"):
            xr.testing.assert_identical(one[group].to_dataset(), other[group].to_dataset())
        for table in ("decision.csv", "predictions.csv", "observed_vs_predicted.csv"):
            assert (here / table).read_text() == (there / table).read_text()
        assert (there / "report.html").stat().st_size > 10_000
        assert not list(there.glob("*.unfinished"))
    one, other = (ds3.load(tmp_path / "there" / name / "run.nc")["posterior"] for name in ("of-1", "of-2"))
    assert not np.array_equal(one["spread"], other["spread"])


def test_refits_of_a_check_are_the_same_there(cluster, monkeypatch, short_fit):
    fit = short_fit(ds3.simulate(tasks=4, attempts=6, seed=3).evals, draws=50, tune=50)
    monkeypatch.setattr(check, "REFIT_DRAWS", 40)
    places = np.array([2, 0])
    asked = {"fit": fit, "seed": 1}
    here = check._left_out("tasks", places, scheduler=None, **asked)
    there = check._left_out("tasks", places, scheduler=cluster.scheduler_address, **asked)
    assert here == there
    assert 0 in here[0]


def test_replays_are_the_same_there(cluster):
    rate = np.linspace(0.02, 0.98, 8)
    rows = [
        {"model": name, "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 200}
        | {"successes": round(200 * one)}
        for name, rates in {"a": rate, "b": rate / 2}.items()
        for task, one in enumerate(rates)
    ]
    asked = (ds3.read_evals(pd.DataFrame(rows)), ds3.live.Better(option="a", than="b"))
    given = {"epochs": 3, "replays": 2, "adaptive": False, "draws": 100, "seed": 2}
    here = ds3.live.replay(*asked, **given)
    pd.testing.assert_frame_equal(ds3.live.replay(*asked, scheduler=cluster.scheduler_address, **given), here)
    assert here["estimate"].nunique() == 2
    assert (here["failures"] == 0).all()


def test_fits_that_were_made_are_kept(monkeypatch):
    @contextmanager
    def failing(scheduler, *, threads=1, after):
        with workers(None) as spread:

            def some(function, items, **given):
                yield from spread(function, list(items)[:after], **given)
                raise ClusterError("all workers are gone")

            yield some

    evals = ds3.simulate(tasks=2, attempts=4, seed=1).evals
    given = {"fits": 3, "tune": 20, "thin": 1, "progress": False, "scheduler": "tcp://h:1"}
    monkeypatch.setattr(by_simulation, "workers", partial(failing, after=2))
    with pytest.warns(UserWarning, match=r"all workers are gone\. The 2 that were done are kept"):
        assert ds3.sbc(evals, **given)["fit"].values.tolist() == [0, 1]
    monkeypatch.setattr(by_simulation, "workers", partial(failing, after=0))
    with pytest.raises(ClusterError, match="all workers are gone"):
        ds3.sbc(evals, **given)


def test_held_out_calibration_is_the_same_there(cluster):
    rng = np.random.default_rng(3)
    rows = [
        {"model": f"llm{i}", "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 100}
        | {"successes": int(rng.binomial(100, rng.beta(1, 1)))}
        for i in range(2)
        for task in range(4)
    ]
    given = {"samples": (10,), "at": (20,), "seeds": 1, "fits": ("alone", "joint"), "least_attempts": 100}
    given |= {"draws": 20, "tune": 20, "chains": 2, "forecast_draws": 20, "baselines": ["beta-binomial"]}
    evals = ds3.read_evals(pd.DataFrame(rows))
    here = ds3.held_out_calibration(evals, progress=False, **given)
    there = ds3.held_out_calibration(evals, progress=False, scheduler=cluster.scheduler_address, **given)
    xr.testing.assert_identical(here.drop_vars("seconds"), there.drop_vars("seconds"))
