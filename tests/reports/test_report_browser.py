"""The page in a real browser: names are shown and not run, nothing is cut, nothing is wider than a telephone."""

import base64
import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile import EVIL

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
    assert measured[width][2] == "0"
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
    assert policy[1] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert all(b"<svg" in base64.b64decode(one)[:600] for one in pictures)
