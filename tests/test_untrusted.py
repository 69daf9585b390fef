"""Input from anywhere ends in an answer or an `InputError`, soon and in little memory, and steers no terminal."""

import io
import json
import random
import time
import tracemalloc

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ds3bayes as ds3
from ds3bayes.errors import printable
from ds3bayes.evals import select
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.strategies import parse_strategy
from ds3bayes.terminal import Terminal, plain

TABLE = pd.DataFrame({"model": "m", "benchmark": "b", "task": [f"t{place}" for place in range(6)], "strategy": "cot"})
TABLE = TABLE.assign(attempts=4, successes=[0, 1, 2, 3, 4, 2], tokens_mean=100.0)


@pytest.fixture(scope="module")
def evals():
    return ds3.read_evals(TABLE)


# --- limits ---


def nested(call: str, depth: int) -> str:
    return call * depth + "1" + ")" * depth


STRATEGIES = {
    "nested calls": "cot(x=" + nested("a(b=", 3000) + ")",
    "nested lists": "majority(n=8, wrong_shares=" + "[" * 3000 + "]" * 3000 + ")",
    "many votes": "majority(n=1000000)",
    "many weighted votes": "weighted_best_of_n(n=129, verifier=noisy(d=1))",
    "many states": "tot(branching=2, kept_states=1e18)",
    "many states, whole": f"tot(branching=2, kept_states={10**18})",
    "many digits": "best_of_n(n=" + "9" * 5000 + ")",
    "long": "cot" + " " * 10**6,
}
CONDITIONS = {
    "and": " and ".join(["attempts > 1"] * 5000),
    "or": " or ".join(["attempts > 1"] * 5000),
    "chained": "1" + " < attempts" * 5000,
    "sums": "attempts" + " + 1" * 5000 + " > 1",
    "not": "not " * 5000 + "(attempts > 1)",
    "minus": "attempts > " + "-" * 5000 + "1",
    "brackets": "(" * 5000 + "attempts > 1" + ")" * 5000,
    "power": "model == 'a' * 10**9",
    "text times a number": "model == 'a' * 1000000000",
    "column times a number": "model * 1000000000 == 'a'",
    "list times a number": "attempts.isin([1] * 1000000000)",
    "padded": "model == '%1000000000d' % 1",
    "long": "attempts > 1" + " " * 10**6,
}
SPECS = {
    "digits": "x = " + "9" * 5000,
    "hexadecimal digits": "[sampling]\ndraws = 0x" + "f" * 5000,
    "64 bits": f"[sampling]\nseed = {2**63}",
    "nested arrays": "x = " + "[" * 5000 + "]" * 5000,
    "nested tables": "x = " + "{a = " * 5000 + "1" + "}" * 5000,
    "dotted": "a" + ".a" * 100000 + " = 1",
    "large": "#" * 2_000_000,
    "draws": "[sampling]\ndraws = 1000000000000",
    "not text": "\0",
}


def refused_soon(read) -> str:
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ds3.InputError) as caught:
        read()
    spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Half a second, and ten times that for a machine that is slowed by counting its memory.
    assert spent < 5.0
    assert peak < 200 * 2**20
    message = str(caught.value)
    assert len(message) < 20_000
    return message


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_have_limits(name):
    refused_soon(lambda: parse_strategy(STRATEGIES[name]))


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_have_limits(evals, name):
    refused_soon(lambda: select(evals, CONDITIONS[name]))


@pytest.mark.parametrize("name", SPECS)
def test_specs_have_limits(tmp_path, name):
    (tmp_path / "s.toml").write_text(SPECS[name])
    assert "s.toml" in refused_soon(lambda: ModelSpec.from_toml(tmp_path / "s.toml"))


def test_conditions_of_many_names_and_sums_are_taken(evals):
    names = [f"t{place}" for place in range(5000)]
    assert select(evals, f"task.isin({names})").sizes["row"] == 6
    assert select(evals, "attempts * 2 + 1 > 3 and (successes / attempts) < 0.6").sizes["row"] == 4


@pytest.mark.parametrize(
    "note", [b"{", b"[]", b"null", b'{"index_columns": 5}', b'{"columns": [1], "index_columns": ["x"]}']
)
def test_damaged_notes_of_pandas_in_parquet_do_not_matter(tmp_path, evals, note):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(TABLE.set_index("task"))
    pq.write_table(table.replace_schema_metadata({b"pandas": note}), tmp_path / "t.parquet")
    assert ds3.read_evals(tmp_path / "t.parquet").attrs["data_sha256"] == evals.attrs["data_sha256"]


# --- the terminal ---


def printed(markup: str) -> str:
    out = io.StringIO()
    Terminal(file=out, width=10_000, force_terminal=True, color_system="truecolor").print(markup, soft_wrap=True)
    return out.getvalue()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from("\\[]/ab:#@=\x1b\n\r\x9b\u202e"), st.characters()), max_size=12))
def test_text_from_data_is_shown_as_it_is(text):
    shown = printable(text)
    shown = f"{shown[:-1]}\\x5c" if shown.endswith("\\") else shown
    bold = f"\x1b[1m{shown}\x1b[0m" if shown else ""
    assert printed(f"[bold]{plain(text)}[/]|{plain(text)} x") == f"{bold}|{shown} x\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\\[bold]x", "\\[bold]x"),
        (":skull:", ":skull:"),
        ("a\nerror: forged", "a\\x0aerror: forged"),
        ("a\x1b[2J\x9b1m\r", "a\\x1b[2J\\x9b1m\\x0d"),
        ("\u202eabc\ud800", "\\u202eabc\\ud800"),
        ("日本語 naïve", "日本語 naïve"),
    ],
)
def test_examples_of_text_from_data(text, shown):
    assert printed(plain(text)) == f"{shown}\n"


def test_messages_have_no_forged_lines():
    error = ds3.InputError("name 'a\nerror: forged\x1b[2J'")
    assert str(error) == "name 'a\\x0aerror: forged\\x1b[2J'"
    assert str(ds3.InputError.of_faults("f.csv", ["a\nb", "c"])) == "f.csv: 2 faults\n  - a\\x0ab\n  - c"
    assert len(str(ds3.InputError("x" * 10**6))) < 2100


# --- fuzzing ---

BASES = {
    "strategy": [
        "best_of_n(n=16, verifier=noisy(d=1.5))",
        "tot(branching=5, kept_states=3, evaluator=noisy(d=2))",
        "majority(n=8, wrong_shares=[0.5, 0.5])",
        'cot(effort="high", budget_tokens=1000)',
        "weighted_best_of_n(n=4, verifier=oracle)",
        "g_pass(n=8, right=4)",
    ],
    "condition": [
        "strategy == 'cot' and attempts >= 4",
        "task.isin(['t1', 't2']) or not (successes > 1)",
        "model.str.contains('m') & (tokens_mean / attempts < 50.5)",
    ],
    "spec": [
        'name = "x"\n[population]\nfamily = "path"\npath_length = 3\n[sampling]\ndraws = 100\nseed = 1\n',
        '[priors]\nlocation = {family = "Normal", mu = 0.0, sigma = 1.0}\n[costs."*"]\noutput_usd = 8.0\n',
        '[query]\nstrategies = ["cot", "majority(n=8)"]\ntasks = "new"\nmax_cost = 0.5\n[[holdout]]\nfraction = 0.2\n',
    ],
    "table": [TABLE.to_csv(index=False), TABLE.assign(answer="a", attempts=1, successes=1).to_csv(index=False)],
}
PIECES = [*"()[]{}=,.'\"\\\n\t #-+*%|&<>0123456789e_", "nan", "inf", "1e400", "-1", "9" * 30, "0x7f", "true", "null"]
PIECES += [
    "\x00",
    "\x1b[2J",
    "\u202e",
    "é",
    "cot",
    "n=",
    "' * 9",
    " and ",
    " not ",
    "lambda: 0",
    "__class__",
    "{}",
    "[[",
]
PIECES += ["[[", "]]", "1979-05-27", "effort", "\r\n", '"""', "x" * 300]


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(text)), rng.choice((0, 0, 1, 3, 20))
        piece = rng.choice(PIECES) if rng.random() < 0.8 else text[at : at + 15] * rng.randint(1, 5)
        text = text[:at] + piece + text[at + length :]
    return text


def tried(kind: str, text: str, place, evals) -> None:
    if kind == "strategy":
        assert parse_strategy(str(parse_strategy(text))) == parse_strategy(text)
    elif kind == "condition":
        select(evals, text)
    elif kind == "spec":
        path = place / "spec.toml"
        path.write_text(text, encoding="utf-8")
        spec = ModelSpec.from_toml(path)
        assert ModelSpec.from_dict(json.loads(spec.model_dump_json())) == spec
        make_design(evals, spec, spec.held_out_rows(evals))
    else:
        path = place / "table.csv"
        path.write_text(text, encoding="utf-8")
        ds3.read_evals(path)


def fuzz(count: int, seed: int, place, evals) -> int:
    rng = random.Random(seed)
    refused = 0
    for _ in range(count):
        kind = rng.choice(list(BASES))
        text = mutated(rng.choice(BASES[kind]), rng)
        try:
            tried(kind, text, place, evals)
        except ds3.InputError as error:
            refused += 1
            said = str(error).replace("\n  ", "")
        except Exception as error:
            raise AssertionError(f"{kind} {text!r}: {type(error).__name__}: {error}") from error
        else:
            said = ""
        assert printable(said) == said, text
    return refused


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fuzz(tmp_path, evals):
    assert 0 < fuzz(500, 0, tmp_path, evals) < 500


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fuzz_at_length(tmp_path, evals):
    assert 0 < fuzz(20_000, 1, tmp_path, evals) < 20_000
