"""Stages of long work: a line that moves on a terminal, one that stays elsewhere."""

import os
import pty
import re
import sys
from contextlib import suppress

import pytest

from ds3bayes import progress
from ds3bayes.progress import doing


def test_a_stage_is_one_line_where_nothing_moves(capsys):
    with doing("sampling", 500) as told:
        told(200, 3)
        assert told.left.startswith("about ")
        told(500, 4)
    with doing("quiet", show=False) as told:
        told(1)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"sampling: [\d.]+ s, 500 draws \([\d,]+ per second\), 4 divergences", line)


def test_a_stage_without_a_count_says_how_long_it_will_take(monkeypatch):
    now = 100.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    with doing("checking", show=False) as told:
        assert told.left == ""
        now += 2.0
        told.share(0.2)
        assert told.left == "about 8.0 s left"
        # What passes until the next step is part of the rest.
        now += 3.0
        assert told.left == "about 5.0 s left"
        now += 30.0
        assert told.left == ""
        told.share(0.7)
        assert told.left == "about 15 s left"
    assert told.counted == ""


def test_what_is_said_meanwhile_stays_where_nothing_moves(capsys):
    with doing("sampling") as told:
        told.say("a first look")
    with doing("quiet", show=False) as told:
        told.say("unheard")
    assert re.fullmatch(r"a first look\nsampling: [\d.]+ s\n", capsys.readouterr().err)


def test_a_stage_that_is_stopped_says_how_far_it_came(capsys):
    def stopped(by):
        with doing("fits", 9, unit="fits") as told:
            told(2)
            raise by

    with pytest.raises(KeyboardInterrupt):
        stopped(KeyboardInterrupt)
    assert re.search(r"fits: stopped after [\d.]+ s, 2 of 9 fits \([\d,]+ per second\)\n", capsys.readouterr().err)
    # What fails says so itself.
    with pytest.raises(ValueError, match=r"^$"):
        stopped(ValueError)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_a_terminal_sees_how_far_it_is_and_how_long_it_will_take(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("COLUMNS", "150")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(progress, "_EVERY", 0.0)
        with doing("sampling", 400) as told:
            told(100, 2)
            terminal.flush()
    shown = b""
    # Once the other end is closed, and all is read, reading is an error on Linux.
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    assert re.search(
        r"sampling .*about [\d.]+ s left, 100 of 400 draws \([\d,]+ per second\), 2 divergences", shown.decode()
    )
