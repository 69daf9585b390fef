"""What is shown of a first answer: marked, ordered, and safe from names."""

import re

import pytest
from hostile import EVIL

from ds3bayes import files
from ds3bayes.inference.preliminary import MARK
from ds3bayes.reports.preliminary import say_preliminary, write_preliminary

ROWS = [
    {
        "model": f"m{place}" if place else EVIL,
        "benchmark": "b",
        "strategy": "cot",
        "success": place / 12,
        "success_lower": place / 12 - 0.02,
        "success_upper": place / 12 + 0.02,
        "tokens": 100.0 + place,
    }
    for place in range(10)
]


def test_a_page_is_marked_and_lets_no_name_out(tmp_path):
    path = write_preliminary(ROWS, tmp_path / "preliminary.html", name=EVIL)
    page = path.read_text(encoding="utf-8")
    assert files.kind_of(path) == "page"
    assert f"{MARK[:1].upper()}{MARK[1:]}" in page
    assert "<script" not in page
    assert "script-src" not in page
    assert "default-src 'none'" in page
    said = re.findall(r"success (0\.\d+) \(", page)
    assert said[:10] == sorted(said[:10], reverse=True)


def test_a_terminal_gets_a_line_each_and_a_pipe_one():
    lines = say_preliminary(ROWS, cost="tokens", in_a_line=False).splitlines()
    assert lines[0] == f"{MARK}:"
    assert lines[1] == "  m9  success 0.750 (0.730 to 0.770), 109 tokens per task"
    assert len(lines) == 1 + 8 + 1
    assert lines[-1] == "and 2 more"
    line = say_preliminary(ROWS, cost="usd", in_a_line=True)
    assert line.startswith(f"{MARK}: success of m9 0.750 (0.730 to 0.770); m8 ")
    assert line.endswith("; and 7 more")
    assert "\n" not in line


@pytest.mark.parametrize("in_a_line", [True, False])
def test_one_option_is_called_by_its_strategy(in_a_line):
    assert "cot" in say_preliminary(ROWS[1:2], cost="tokens", in_a_line=in_a_line)
