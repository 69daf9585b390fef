"""Run a notebook, keep what it shows small and of no machine, and compare it with what was stored."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import re
import sys
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from ds3bayes.engine.doctor import doctor

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
#: How far numbers may be apart on another machine: so much, and so much of the larger. With one seed, draws are the
#: same to the bit on one machine; on another, those of a chain part after some steps. A probability from 400 effective
#: draws has a standard error of .025 at most, so that two differ by more than .1 once in 200 times, where it is near
#: one half, and hardly elsewhere; means of tokens of one task have standard errors of some percent.
ABSOLUTE, RELATIVE = 0.1, 0.15
#: Shares, of a whole notebook, of the lines that must have the same words there (which parameter was learned worst may
#: be another), and of the numbers in these lines that must be as near as that: effective draws, r-hats of short chains
#: and least probabilities wander more. Held against another level of the machine, whose draws part as elsewhere.
SAME_WORDS, NEAR = 0.6, 0.9
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?![\w])", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: A stage of the command line with the time that it took.
_STAGE = re.compile(r"^[\w ,]+: (?:\d+ min )?[\d.]+ s\b.*$", re.MULTILINE)
#: Colours of a stored picture: lines, marks and text need no more.
_COLOURS = 64


def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in a kernel of its own, and return it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    # Commands are those of this environment; without colours, which a kernel forces.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    notebook.metadata["made_on"] = made_on()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [_small(output) for output in _joined(cell.outputs)]
    return notebook


def _joined(outputs: list) -> list:
    """Put texts of one stream that follow each other into one."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _small(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "text" in output:
        output.text = _ANSI.sub("", output.text)
    data = output.get("data", {})
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        held = io.BytesIO()
        picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(held, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(held.getvalue()).decode()
    return output


def shown(cell: nbformat.NotebookNode) -> str:
    """Return what a code cell shows as text, but how long stages of a command took, and where objects are."""
    parts = []
    for output in cell.get("outputs", []):
        text = output.get("text", output.get("data", {}).get("text/plain", ""))
        parts.append(re.sub(r" at 0x[0-9a-f]+", "", _STAGE.sub("", text)).strip())
    return "\n".join(part for part in parts if part)


def pictures(cell: nbformat.NotebookNode) -> int:
    """Return how many pictures a cell shows."""
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def made_on() -> str:
    """Return a digest of what draws depend on beside the seed: processor, level of the machine, versions."""
    names = ("numpy", "nutpie", "pymc", "pytensor", "scipy", "xarray", "matplotlib", "pandas")
    processor = Path("/proc/cpuinfo")
    model = re.findall(r"model name\s*: (.*)", processor.read_text()) if processor.exists() else [platform.processor()]
    parts = [doctor()["engine"], *model[:1], sys.version, *map(version, names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def differences(stored: list[str], now: list[str], *, same_machine: bool) -> list[str]:
    """Return how what cells show differs: at all, or on another machine by more than the noise of draws may make it."""
    pairs = [
        pair
        for texts in zip(stored, now, strict=True)
        for pair in zip_longest(*([" ".join(line.split()) for line in t.splitlines() if line.strip()] for t in texts))
    ]
    if same_machine:
        return [f"{a!r} was stored, it is {b!r}" for a, b in pairs if a != b]
    alike = [(a, b) for a, b in pairs if a and b and _NUMBER.sub("#", a) == _NUMBER.sub("#", b)]
    numbers, apart = 0, []
    for before, after in alike:
        values = ([float(n.replace(",", "")) for n in _NUMBER.findall(line)] for line in (before, after))
        for a, b in zip(*values, strict=True):
            numbers += 1
            if abs(a - b) > ABSOLUTE + RELATIVE * max(abs(a), abs(b)):
                apart.append(f"{a:g} was stored, it is {b:g}, in {after!r}")
    found = apart if numbers - len(apart) < NEAR * numbers else []
    if len(alike) < SAME_WORDS * len(pairs):
        found = [*found, *(f"{a!r} was stored, it is {b!r}" for a, b in pairs if (a, b) not in alike)]
    return found
