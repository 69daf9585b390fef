"""The page in a real browser: names are shown and not run, nothing is cut, nothing is wider than a telephone.

What its script decides again is compared with Python. Frames of a page without a policy hold the page with its own.
"""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile import EVIL, SPEC, evaluations

import ds3bayes as ds3
from ds3bayes.reports import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine's PATH")
POLICY = '<meta http-equiv="Content-Security-Policy"'
# Says in the title what a script finds: how wide the page is in a frame of each width, and which parts stick out.
MEASURE = """
<script>
onload = () => {
  const said = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    const loud = [...page.querySelectorAll("img")].filter(one => !one.complete || one.naturalWidth === 0).length;
    said.push(`${frame.width}:${root.scrollWidth}:${loud}:${page.querySelectorAll("script").length}:${page.title}`);
  }
  document.title = said.join(" || ");
};
</script>"""


def browse(path: Path, folder: Path, *options: str) -> str:
    """Open a page without a window; return the document after its scripts ran."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={folder}"]
    done = subprocess.run(
        [*command, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True, cwd=folder
    )
    return done.stdout


def title(document: str) -> str:
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert found
    return html.unescape(found[1])


@pytest.fixture(scope="module")
def measured(page, tmp_path_factory) -> dict[str, list[str]]:
    """Width of the frame -> width of the page, broken pictures, scripts and title, of the page at two widths."""
    folder = tmp_path_factory.mktemp("browser")
    # Scripts from data must stay dead even without the policy that would stop them.
    bare = re.sub(POLICY + "[^>]*>", "", page)
    assert bare != page
    frames = "".join(
        f'<iframe width="{width}" height="4000" srcdoc="{html.escape(bare, quote=True)}"></iframe>'
        for width in (380, 1400)
    )
    path = folder / "frames.html"
    path.write_text(f"<!DOCTYPE html><title>not measured</title>{MEASURE}{frames}", encoding="utf-8")
    said = title(browse(path, folder, "--window-size=1500,1200", "--dump-dom"))
    return {part.split(":")[0]: part.split(":", 4)[1:] for part in said.split(" || ")}


@pytest.mark.parametrize("width", ["380", "1400"])
def test_nothing_is_wider_than_the_page(measured, width):
    assert int(measured[width][0]) <= int(width)


@pytest.mark.parametrize("width", ["380", "1400"])
def test_every_picture_can_be_shown(measured, width):
    assert measured[width][1] == "0"


@pytest.mark.parametrize("width", ["380", "1400"])
def test_names_are_shown_and_not_run(measured, width):
    # The page's own script, and none from data.
    assert measured[width][2] == "1"
    # An `alert` would have stopped the page, and the title is text.
    assert EVIL in measured[width][3]


def test_a_script_in_a_page_would_be_noticed(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<title>quiet</title><img src=x onerror=\"document.title='run'\">", encoding="utf-8")
    assert title(browse(path, tmp_path, "--dump-dom", "--virtual-time-budget=2000")) == "run"


def test_prints_to_pages(written, tmp_path):
    browse(written, tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000


def test_the_policy_forbids_everything_but_what_the_page_holds(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy[1].split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert all(b"<svg" in base64.b64decode(one)[:600] for one in pictures)


# Drives the page in a frame, and writes what it finds into the document.
DRIVE = """
<pre id="found">nothing</pre>
<script>
onload = async () => {
  const found = [], faults = [];
  const frame = document.querySelector("iframe").contentWindow, page = frame.document;
  page.addEventListener("securitypolicyviolation", (one) => faults.push(`${one.violatedDirective} ${one.blockedURI}`));
  frame.addEventListener("error", (one) => faults.push(one.message));
  const box = (id) => page.getElementById(id);
  const set = (one, value) => {
    one.value = value;
    one.dispatchEvent(new frame.Event("input", { bubbles: true }));
  };
  const settle = () => new Promise((done) => setTimeout(done, 30));
  const cells = (key) => [...page.querySelectorAll(`#options td[data-key="${key}"]`)].map((one) => one.textContent);
  const read = () => ({ ...JSON.parse(box("ask-numbers").textContent), note: !box("answer-note").hidden,
    cells: ["p_best", "regret", "p_affordable", "p_reach", "p_frontier", "cost"].map(cells),
    chosenMarks: page.querySelectorAll("#asked svg.costs.wide .option.chosen").length,
    target: page.querySelector("#asked svg.costs .target").getAttribute("transform") });
  try {
    // The frame may be loaded before its script ran.
    for (let tries = 0; tries < 100 && !box("ask-numbers").textContent; tries++) await settle();
    STEPS
  } catch (one) {
    faults.push(String(one.stack));
  }
  document.getElementById("found").textContent = JSON.stringify({ found, faults });
};
</script>"""


def drive(page: str, folder: Path, steps: str) -> list:
    """Run steps on a page in a frame, its policy in force; return what they found."""
    frame = f'<iframe width="1400" height="2000" srcdoc="{html.escape(page, quote=True)}"></iframe>'
    path = folder / "drive.html"
    driver = DRIVE.replace("STEPS", steps)
    path.write_text(f"<!DOCTYPE html><title>driver</title>{driver}{frame}", encoding="utf-8")
    written = browse(path, folder, "--dump-dom", "--virtual-time-budget=10000")
    said = re.search(r'<pre id="found">(.*?)</pre>', written, re.DOTALL)
    assert said
    result = json.loads(html.unescape(said[1]))
    assert result["faults"] == []
    return result["found"]


ASKED = [
    {},
    {"max_cost": 150.0},
    {"max_cost": 300.0, "success": 0.45, "confidence": 0.5},
    {"success": 0.2, "margin": 0.2},
    {"max_cost": 1e-3},
]


@pytest.fixture(scope="module")
def moved(page, tmp_path_factory) -> list:
    """What the page decides at each of some questions, and what else a reader may do with it."""
    names = {"max_cost": "ask-cap", "success": "ask-target", "confidence": "ask-confidence", "margin": "ask-margin"}
    steps = []
    for asked in ASKED:
        steps += [f'set(box("{names[name]}"), {value!r});' for name, value in asked.items()]
        steps.append('await settle(); found.push(read()); box("ask-reset").click(); await settle();')
    slides = """
    found.push(read());
    set(box("ask-cap-slider"), 1000); await settle(); found.push([box("ask-cap").value, read().said[0]]);
    set(box("ask-cap"), "-3"); await settle(); found.push(box("ask-cap").getAttribute("aria-invalid"));
    box("ask-reset").click(); await settle();
    const order = () => [...page.querySelectorAll("#options tbody tr")].map((one) => Number(one.dataset.number));
    const button = page.querySelector('#options th[data-key="cost"] button');
    button.click(); const falling = order(); button.click();
    found.push([falling, order(), button.parentElement.getAttribute("aria-sort")]);
    const filter = page.querySelector("input[type=search]");
    const rows = [...filter.closest("p").nextElementSibling.querySelectorAll("tbody tr")];
    set(filter, rows[0].cells[0].textContent); const kept = rows.filter((one) => !one.hidden).length;
    set(filter, "no row says this"); const none = rows.filter((one) => !one.hidden).length;
    found.push([rows.length, kept, none]);
    frame.dispatchEvent(new frame.Event("beforeprint"));
    const shut = page.querySelectorAll("details:not([open]):not(.task)").length;
    frame.dispatchEvent(new frame.Event("afterprint"));
    found.push([shut, page.querySelectorAll("details[open]").length]);
    """
    return drive(page, tmp_path_factory.mktemp("drive"), " ".join(steps) + slides)


@pytest.mark.parametrize("place", range(len(ASKED)))
def test_the_page_decides_as_python_does(moved, fitted, place):
    asked, got = ASKED[place], moved[place]
    spec = ds3.ModelSpec.from_dict(SPEC)
    pred = ds3.predict(fitted, spec.query.parsed(), tasks=spec.query.tasks)
    at_spec, wanted = ds3.decide(fitted, pred), ds3.decide(fitted, pred, **asked)
    assert got["draws"] == len(wanted.draws["success"])
    # The page keeps the order of the spec's own question.
    options = wanted.options.set_index("option").loc[at_spec.options["option"]]
    for name in ("p_best", "regret", "p_affordable", "p_reach", "p_frontier"):
        real = ~options["bound"].to_numpy() | (name in ("p_reach", "p_affordable"))
        assert got[name] == pytest.approx(options[name].fillna(0.0).where(real, got[name]).to_list(), abs=1e-6), name
    assert got["chosen"] == wanted.chosen
    assert got["chosenMarks"] == (1 if wanted.chosen else 0)
    assert got["enough"] == next(iter(options.index[options["enough"]]), "")
    assert set(got["tied"]) == set(options.index[options["tied"]])
    assert set(got["nearly"]) == set(options.index[options["nearly"]])
    assert set(got["on_frontier"]) == set(options.index[options["on_frontier"]])
    assert got["note"] == bool(asked)
    assert got["said"] == [wanted.choice, wanted.enough]


def test_at_the_specs_own_question_nothing_is_written_anew(moved, page):
    """The cells that the script writes are those that Python wrote; after a reset, too."""
    rows = re.findall(r'<tr role="row"[^>]* data-number="\d+">(.*?)</tr>', page, re.DOTALL)[: len(moved[0]["p_best"])]
    for place, key in enumerate(("p_best", "regret", "p_affordable", "p_reach", "p_frontier", "cost")):
        cells = [html.unescape(re.search(rf'data-key="{key}">(.*?)</td>', row, re.DOTALL)[1]) for row in rows]
        assert moved[0]["cells"][place] == cells, key
    assert moved[len(ASKED)] == moved[0]


def test_sliders_tables_and_print(moved):
    (cap, said), invalid, (falling, rising, state), (rows, kept, none), (shut, opened) = moved[len(ASKED) + 1 :]
    assert (cap, said[:17]) == ("", "Best at any cost:")
    assert invalid == "true"
    assert falling == rising[::-1] or sorted(falling) == sorted(rising)
    assert falling != rising
    assert state == "ascending"
    assert rows > kept >= 1
    assert none == 0
    assert (shut, opened) == (0, 0)


def test_prices_move_the_costs(prior_fit, checks, tmp_path):
    """Prompts and generated tokens go with their own prices; an LLM without prices has no cost, and stands by."""
    rng = np.random.default_rng(5)
    frame = evaluations().query("strategy == 'cot'")
    frame = pd.concat([frame, frame[frame["model"] == "plain"].assign(model="other")])
    frame = frame.assign(prompt_tokens=rng.integers(100, 200, len(frame)) * frame["attempts"])
    cost = {"input_usd": 3.0, "output_usd": 15.0}
    content = {
        "costs": {"plain": cost, "other": {"input_usd": 1.0, "output_usd": 20.0}},
        "query": {"strategies": ["cot", "best_of_n(n=4, verifier=noisy(d=1))"], "cost": "usd", "success": 0.6},
    }
    content["query"]["max_cost"] = 0.006
    fit = prior_fit(ds3.read_evals(frame), ds3.ModelSpec.from_dict(content))
    path = report(fit, path=tmp_path / "r.html", checks=checks, tables_in=None)
    steps = """
    found.push(read());
    const [input, output] = page.querySelectorAll('#ask-prices input[data-model="plain"]');
    set(input, "10"); set(output, "0.5"); await settle(); found.push(read());
    """
    found = drive(path.read_text(encoding="utf-8"), tmp_path, steps)
    moved = fit.copy()
    content["costs"]["plain"] = {"input_usd": 10.0, "output_usd": 0.5}
    moved.attrs = {**fit.attrs, "spec": ds3.ModelSpec.from_dict(content).model_dump_json()}
    at_spec, wanted = ds3.decide(fit), ds3.decide(moved)
    assert at_spec.options["cost"].isna().sum() == 2
    assert at_spec.options["cost"].max() != wanted.options["cost"].max()
    for got, decision in zip(found, (at_spec, wanted), strict=True):
        options = decision.options.set_index("option").loc[at_spec.options["option"]]
        said = [float(text.split()[0].replace("–", "nan")) for text in got["cells"][5]]
        assert said == pytest.approx(options["cost"].to_list(), rel=5e-3, nan_ok=True)
        assert got["chosen"] == decision.chosen
        assert got["said"] == [decision.choice, decision.enough]
        # Tokens are embedded in 65,536 steps, so that a draw at the very cap may fall on its other side.
        for key in ("p_best", "p_affordable", "p_frontier", "p_reach"):
            assert got[key] == pytest.approx(options[key].fillna(0.0).to_list(), abs=1.5 / got["draws"]), key
        assert got["regret"] == pytest.approx(options["regret"].to_list(), abs=0.02)


AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core")) / "axe.min.js"


@pytest.mark.slow
@pytest.mark.skipif(
    not AXE.exists(),
    reason="no axe-core: `npm install --prefix FOLDER axe-core`, then AXE_CORE=FOLDER/node_modules/axe-core",
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_audit_finds_nothing(page, tmp_path, scheme):
    """By axe-core, all rules of WCAG 2 A and AA and best practices, everything unfolded."""
    audit = """
    <script>
    onload = async () => {
      for (const one of document.querySelectorAll("details")) one.open = true;
      const found = await axe.run(document, { resultTypes: ["violations"] });
      const said = found.violations.map((one) => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)]);
      document.body.textContent = "";
      document.title = JSON.stringify([said, found.passes.length]);
    };
    </script>"""
    bare = re.sub(POLICY + "[^>]*>", "", page)
    path = tmp_path / "audit.html"
    path.write_text(bare + f"<script>{AXE.read_text(encoding='utf-8')}</script>{audit}", encoding="utf-8")
    preference = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    written = browse(path, tmp_path, "--dump-dom", "--virtual-time-budget=60000", preference)
    violations, passed = json.loads(title(written))
    assert passed > 20
    assert violations == []
