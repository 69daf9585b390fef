"""The report as Markdown and CSV: the same numbers, and names that stay names."""

import pandas as pd
import pytest
from hostile import EVIL, SPEC

import ds3bayes as ds3
from ds3bayes.reports import markdown, report
from ds3bayes.reports.citations import references
from ds3bayes.reports.tables import Shown


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("best_of_n(n=8)", "best_of_n(n=8)"),
        ("a|b", r"a\|b"),
        ("<b> & c", "&lt;b&gt; &amp; c"),
        ("_x_ and *y*", r"\_x\_ and \*y\*"),
        ("[link](javascript:x)", r"\[link\](javascript:x)"),
        ("two\nlines", "two lines"),
        ("`code` $x$", r"\`code\` \$x\$"),
    ],
)
def test_markup_in_names_is_text(said, written):
    assert markdown.text(said) == written


def test_tables_keep_their_columns():
    frame = pd.DataFrame({"name": ["a|b", "c"], "value": ["1", "2"]})
    lines = markdown.table(Shown(caption="x", frame=frame, numeric=frozenset({"value"}), note="why")).splitlines()
    assert lines[2:6] == ["| name | value |", "| --- | ---: |", r"| a\|b | 1 |", "| c | 2 |"]
    assert lines[-1] == "why"


def test_markdown_says_what_the_page_says(written, fitted):
    text = written.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith(f"# {markdown.text(EVIL)}: what to deploy")
    outside_spec = text.partition("The specification, as TOML")[0]
    assert "<script" not in outside_spec
    for part in ("## Summary", "## Decision", "### Success against attempts", "## Checks", fitted.attrs["data_sha256"]):
        assert part in text
    assert "Best for at most 500 tokens per task" in text


def test_every_table_is_there_with_its_numbers(written, fitted):
    folder = written.parent / "tables"
    assert all(f"tables/{path.name}" in written.read_text(encoding="utf-8") for path in folder.glob("*.csv"))
    decided = pd.read_csv(folder / "decision.csv")
    best = ds3.best(ds3.predict(fitted, ds3.ModelSpec.from_dict(SPEC).query.parsed()), max_cost=500, cost="tokens")
    assert decided["regret"].min() == pytest.approx(float(best["regret"].min()), rel=1e-9)
    assert set(decided["model"]) == {EVIL, "plain"}
    compared = pd.read_csv(folder / "observed_and_predicted.csv")
    assert {"held out", "fitted"} == set(compared["rows"])
    lines = pd.read_csv(folder / "success_by_attempts.csv")
    assert lines["x"].max() == float("inf")
    assert (folder / "check_convergence.csv").exists()


def test_the_page_can_stand_alone(fitted, checks, tmp_path):
    report(fitted, path=tmp_path / "r.html", checks=checks, tables_in=None)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_citations_are_of_the_parts_in_use():
    data = pd.DataFrame({"strategy": ["cot", "tot"]})
    spec = ds3.ModelSpec.from_dict({"query": {"strategies": ["majority(n=4)"]}})
    keys = {one.key for one in references(spec, data, ["convergence"])}
    assert {"ellismohr2025theory", "yao2023tree", "wang2022selfconsistency", "vehtari2019rank"} <= keys
    assert not keys & {"brown2024large", "hoffmann2022training", "nayak2024information", "kallioinen2021detecting"}
    bridge = references(ds3.ModelSpec(capability="loss_bridge"), data, [])
    assert {"hoffmann2022training", "godey2024why"} <= {one.key for one in bridge}
    entry = bridge[0].bibtex
    assert entry.startswith("@misc{ellismohr2025theory,")
    assert entry.count("{") == entry.count("}")
