"""The estimate of the BigQuery benchmark."""

from __future__ import annotations

import pytest

from ai_usage_assets_tests.benchmarks.bigquery import Call, estimate_seconds, measure_cost

FIRST, SECOND = (1, 10), (1, 11)


def test_calls_of_other_threads_overlap() -> None:
    """Two threads share the loads between two calls of the main thread; main calls follow one another."""
    loads = [Call("load", f"load{number}", thread) for number, thread in enumerate((FIRST, SECOND, FIRST))]
    waits = [Call("wait", f"load{number}", FIRST) for number in range(3)]
    calls = [Call("query", "a", None), *loads, *waits, Call("other", "", None), Call("query", "b", None)]
    assert estimate_seconds(calls) == pytest.approx(1.5 + 2 * 3 + 0.15 + 1.5)


def test_a_script_counts_once_or_by_statement() -> None:
    """A script is one query job; the second estimate counts each of its statements."""
    cost = measure_cost([Call("query", "a", None, statements=4), Call("wait", "a", None), Call("other", "", None)])
    assert (cost.loads, cost.queries, cost.others) == (0, 1, 1)
    assert cost.minutes * 60 == pytest.approx(1.5 + 0.15)
    assert cost.minutes_by_statement * 60 == pytest.approx(4 * 1.5 + 0.15)
