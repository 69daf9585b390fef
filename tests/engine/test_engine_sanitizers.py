"""The machine reads and writes only what is its own, and does nothing that C leaves undefined."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ds3bayes.engine import build

SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Tests of kernels compile libraries of their own: these would not look at this one.
TESTS = ("tests/engine/test_engine_instructions.py", "tests/engine/test_engine_journal.py")
# Every shipped spec: all points of a tape at once, in threads, and its gradient.
SPECS = """
import sys
import numpy as np
import ds3bayes as ds3
from ds3bayes.engine.density import density_of

for path in sys.argv[1:]:
    spec = ds3.ModelSpec.from_toml(path)
    density = density_of(ds3.build_model(spec, spec.data.read()))
    points = density.start + np.random.default_rng(0).normal(size=(3, density.dim)) * [[0.0], [0.3], [3.0]]
    for point in points:
        density.tape.log_density(point)
    density.variables.evaluate(points)
    print(spec.name)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """The environment of a process that loads a machine with sanitizers."""
    gcc = shutil.which("gcc")
    if gcc is None or not sys.platform.startswith("linux"):
        pytest.skip("the sanitizers of gcc on Linux are not found")
    # With the library whose exceptions it watches, which extensions of Python bring along later.
    runtimes = []
    for name in ("libasan.so", "libstdc++.so.6"):
        found = subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, check=True, text=True)
        runtimes.append(found.stdout.strip())
    if not all(Path(one).is_absolute() for one in runtimes):
        pytest.skip("gcc comes without its sanitizers")
    folder = tmp_path_factory.mktemp("sanitized")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", gcc)
        build.compile_machine(folder, levels=build.levels_here()[:1], extra=SANITIZERS)
    # Python itself is not made to free all that it takes.
    options = {
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LD_PRELOAD": " ".join(runtimes),
    }
    return {**os.environ, **options, "DS3BAYES_MACHINE": str(folder)}


def run(environment, root, *command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return done.stdout


@pytest.mark.slow
def test_sanitizers_see_a_fault(environment, root):
    """A tape with an input beyond its memory ends the process: what passes below was looked at."""
    fault = (
        "import ctypes, numpy as np; from ds3bayes.engine import tape, translate; import pytensor.tensor as pt\n"
        "x = pt.vector(shape=(4,)); made = translate.translate([(x, (4,))], [pt.exp(x).sum()], derived=True)\n"
        "made.log_density(np.zeros(4)); made._arrays[0]['input'][0, 0] = 1 << 20; made.log_density(np.zeros(4))\n"
    )
    with pytest.raises(AssertionError, match="AddressSanitizer"):
        run(environment, root, "-c", fault)


@pytest.mark.slow
@pytest.mark.parametrize("tests", TESTS)
def test_sanitizers_find_nothing_in_tests(environment, root, tests):
    assert " passed" in run(environment, root, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", tests)


@pytest.mark.slow
def test_sanitizers_find_nothing_in_shipped_specs(environment, root):
    paths = sorted((root / "models").glob("*.toml"))
    assert len(run(environment, root, "-c", SPECS, *paths).split()) >= len(paths) > 0
