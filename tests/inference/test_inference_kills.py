"""Processes are killed at any moment: nothing half is left, and draws go on as if nothing had happened."""

import multiprocessing
import os
import random
import signal
import time

import pytest

import ds3bayes as ds3
from ds3bayes import files
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model
from ds3bayes.inference.unfinished import about_fit, keeping_in

SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
SPEC = ds3.ModelSpec.from_dict({"sampling": {"draws": 150, "tune": 100, "chains": 3}})


@pytest.fixture(scope="module")
def evals():
    return ds3.simulate(tasks=6, attempts=4, seed=1).evals


@pytest.fixture(scope="module")
def begin():
    """Return a function that lets another process call one of the functions below; it has imported all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pymc", __name__])
    begun = []

    def call(function, *arguments):
        begun.append(context.Process(target=function, args=arguments))
        begun[-1].start()
        return begun[-1]

    yield call
    for process in begun:
        process.kill()
        process.join()


def sample(evals, folder=None):
    with keeping_in(folder, about_fit(SPEC, evals)) as kept:
        return compile_model(make_design(evals, SPEC), SPEC, swap=False).sample(SPEC.sampling, unfinished=kept)


def heed():
    files.stop_politely()
    # A shell's background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def sampling(evals, folder):
    heed()
    sample(evals, folder)


def saving(fit, path):
    heed()
    while True:
        ds3.save(fit, path)


def until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def done(folder):
    """How far a fit is, in bytes; a chain that is done counts for more than any journal here."""
    return sum(10**7 if path.suffix == ".npz" else path.stat().st_size for path in folder.glob("chain-*"))


def end(process, how):
    # An exception that is raised while Python collects garbage is lost: people press Ctrl-C again.
    for _ in range(60):
        os.kill(process.pid, how)
        process.join(1)
        if process.exitcode is not None:
            break
    assert process.exitcode in (-how, 1)


def test_a_killed_fit_goes_on_as_if_it_had_not_been(evals, begin, tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    for how in SIGNALS:
        before = done(folder)
        process = begin(sampling, evals, folder)
        until(lambda before=before: done(folder) > before + 20_000)
        end(process, how)
        # What was there is there.
        assert done(folder) > before
    assert sample(evals, folder).identical(sample(evals))


@pytest.mark.parametrize("how", SIGNALS)
def test_a_killed_save_leaves_the_old_or_the_new(simulated_fit, begin, tmp_path, how):
    path = tmp_path / "run.nc"
    process = begin(saving, simulated_fit, path)
    until(path.exists)
    time.sleep(random.Random(int(how)).uniform(0.0, 0.3))
    end(process, how)
    assert ds3.load(path).identical(simulated_fit)
    files.sweep(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {"run.nc"}
