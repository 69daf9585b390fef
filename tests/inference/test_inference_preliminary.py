"""A first answer beside the chains: near the final one, said once, and none of the draws' business."""

import threading
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.engine.laplace import NotNormal
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import CompiledModel, compile_model

SHORT = {"draws": 100, "tune": 100, "chains": 2, "seed": 4}


@pytest.fixture(scope="module")
def evals() -> xr.Dataset:
    """One LLM on twenty tasks."""
    return ds3.simulate(tasks=20, attempts=10, path_length=4, location=0.4, spread=1.2, seed=5).evals


@pytest.fixture(scope="module")
def looked(evals) -> tuple[xr.DataTree, xr.Dataset, str]:
    """A fit with a first look, what that predicted, and what was said."""
    found: list[xr.Dataset] = []

    def look(fit: xr.DataTree) -> str:
        assert threading.current_thread() is not threading.main_thread()
        found.append(ds3.predict(fit))
        return "a first look\nof two lines"

    said: list[str] = []
    spoken = threading.Event()
    sample = CompiledModel.sample

    def shown(_: object, text: str, **__: object) -> None:
        said.append(str(text))
        if "a first look" in said[-1]:
            spoken.set()

    def sampled(*given: Any, **named: Any) -> xr.DataTree:
        tree = sample(*given, **named)
        # So short a run may be over before.
        spoken.wait(60)
        return tree

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ds3bayes.progress.Terminal.print", shown)
        patch.setattr(CompiledModel, "sample", sampled)
        with pytest.warns(ds3.FitWarning):
            fit = ds3.fit(evals, preliminary=look, **SHORT)
    (first,) = found
    return fit, first, "\n".join(said)


def test_it_is_said_while_chains_are_sampled(looked):
    _, _, said = looked
    lines = said.splitlines()
    assert lines.index("a first look") < next(place for place, one in enumerate(lines) if one.startswith("sampling: "))
    assert lines[lines.index("a first look") + 1] == "of two lines"


def test_it_is_near_the_draws(looked):
    fit, first, _ = looked
    final = ds3.predict(fit)["success"]
    # Of the shipped models none is off by more than one.
    off = (first["success"].mean(("chain", "draw")) - final.mean(("chain", "draw"))) / final.std(("chain", "draw"))
    assert abs(off.item()) < 1.0
    ratio = (first["success"].std(("chain", "draw")) / final.std(("chain", "draw"))).item()
    assert 0.5 < ratio < 2.0


def test_draws_are_the_same_with_and_without_it(looked, evals):
    with pytest.warns(ds3.FitWarning):
        plain = ds3.fit(evals, progress=False, **SHORT)
    assert set(plain.children) == set(looked[0].children)
    for name in ("posterior", "task_effects", "log_likelihood", "sampler_points"):
        for variable, values in plain[name].data_vars.items():
            np.testing.assert_array_equal(values, looked[0][name][variable], err_msg=f"{name} {variable}")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotNormal("the posterior is a spike"), "no preliminary answer: the posterior is a spike"),
        (KeyError("oops"), "no preliminary answer (KeyError: 'oops')"),
    ],
)
def test_what_goes_wrong_is_one_line_and_the_fit_is_whole(evals, monkeypatch, capsys, error, words):
    def fails(*_: object) -> xr.Dataset:
        raise error

    monkeypatch.setattr(CompiledModel, "near_mode", fails)
    with pytest.warns(ds3.FitWarning):
        fit = ds3.fit(evals, preliminary=lambda _: "never", **SHORT)
    assert fit["posterior"].sizes["draw"] == SHORT["draws"]
    said = capsys.readouterr().err
    assert words in said.splitlines()
    assert "never" not in said


def test_it_is_not_said_once_there_are_draws(evals, monkeypatch, capsys):
    done = threading.Event()
    sample, near_mode = CompiledModel.sample, CompiledModel.near_mode

    def sampled(*given: Any, **named: Any) -> xr.DataTree:
        tree = sample(*given, **named)
        done.set()
        return tree

    def late(*given: Any) -> xr.Dataset:
        done.wait(60)
        return near_mode(*given)

    monkeypatch.setattr(CompiledModel, "sample", sampled)
    monkeypatch.setattr(CompiledModel, "near_mode", late)
    with pytest.warns(ds3.FitWarning):
        ds3.fit(evals, preliminary=lambda _: "too late", **SHORT)
    assert "too late" not in capsys.readouterr().err


def test_the_spike_of_a_skill_graph_is_refused(root):
    """Predictions from its mode would be off by up to nine standard deviations."""
    spec = ds3.ModelSpec.from_toml(root / "models" / "skill_graph.toml")
    evals = ds3.read_evals(root / "data" / "skill_graph.csv")
    compiled = compile_model(make_design(evals, spec, spec.held_out_rows(evals)), spec, swap=False)
    with pytest.raises(NotNormal):
        compiled.near_mode(100, 0)
