"""The log's grammar: what `prefix` writes, `parse` reads."""

import datetime
import time

import pytest

from caffe import log_grammar

MOMENT = time.strptime("2024-02-29 15:06:43", "%Y-%m-%d %H:%M:%S")
WHEN = datetime.datetime(2024, 2, 29, 15, 6, 43, 27)


@pytest.mark.parametrize(
    ("year", "written"),
    [
        (False, "I0229 15:06:43.000027    12 solver.cpp:239] "),
        (True, "I20240229 15:06:43.000027    12 solver.cpp:239] "),
    ],
)
def test_a_prefix_is_read_as_it_was_written(year, written):
    assert log_grammar.prefix("I", MOMENT, 27, 12, "solver.cpp:239", year) == written
    assert log_grammar.parse(f"{written}a] b", 2024) == (WHEN, "12", "solver.cpp:239", "a] b")


@pytest.mark.parametrize(
    "row",
    ["", "layer {", "X0229 15:06:43.000027 12 a.cpp:1] x", "I0231 15:06:43.000027 12 a.cpp:1] x"],
)
def test_other_rows_are_none(row):
    assert log_grammar.parse(row, 2024) is None


def test_29_february_is_a_day_of_leap_years_only():
    row = "I0229 15:06:43.000027 12 solver.cpp:239] x"
    assert log_grammar.parse(row, 2023) is None
    assert log_grammar.parse(row, 2000).time.year == 2000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Iteration 20 (2 iter/s, 10s/20 iters), loss = 8.5", ("20", "8.5")),
        ("Iteration 50, loss = 1e-2", ("50", "1e-2")),
        ("Iteration 50, loss = nan", ("50", "nan")),
    ],
)
def test_loss_lines(text, found):
    assert log_grammar.LOSS.match(text).groups() == found
    assert not log_grammar.LOSS.match("Iteration 20, lr = 0.1")
