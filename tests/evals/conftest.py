"""Logs that several tests read: written once per run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A program, with a library that only slow tests need.
collect_ignore = ["lm_eval_logs.py"]


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of logs, all written by Inspect itself."""
    root = tmp_path_factory.mktemp("logs")
    # In a process of its own: its import takes seconds, and what it does to logging and consoles is not ours.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("inspect_logs.py")), str(root)],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path_factory.mktemp("inspect-data"))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {path.name: path for path in root.iterdir()}
