"""Run notebooks and store what they show: ``python tests/notebooks/store.py [NAME ...]``, all of them by default."""

import sys
import time

import nbformat
from outputs import FOLDER, execute

if __name__ == "__main__":
    asked = sys.argv[1:]
    for path in sorted(FOLDER.glob("*.ipynb")):
        if asked and not any(path.name.startswith(name) for name in asked):
            continue
        started = time.perf_counter()
        nbformat.write(execute(path), path)
        print(f"{path.name}: {time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e3:,.0f} kB", flush=True)
