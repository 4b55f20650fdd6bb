"""The translation to DuckDB: each difference between the engines, and the constructs that are rejected."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from ai_usage_assets.warehouse.googlesql import SESSION, UnsupportedSQL, parse, tables_read, to_duckdb
from ai_usage_assets_tests.support.reference_sql import Reference


def value(expression: str, **parameters: Any) -> Any:
    """The value of a GoogleSQL expression in DuckDB."""
    connection = duckdb.connect()
    connection.execute(SESSION)
    return connection.execute(to_duckdb(f"SELECT {expression}"), parameters or None).fetchall()[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # NUMERIC keeps nine decimals; plain sqlglot makes it DECIMAL(18,3).
        ("CAST('1.123456789' AS NUMERIC)", Decimal("1.123456789")),
        ("CAST('12345678901234567890.123456789' AS NUMERIC)", Decimal("12345678901234567890.123456789")),
        ("NUMERIC '0.000000001' + NUMERIC '0.000000002'", Decimal("0.000000003")),
        # Half away from zero, as BigQuery rounds NUMERIC.
        ("CAST(CAST('0.0000000005' AS BIGNUMERIC) AS NUMERIC)", Decimal("0.000000001")),
        ("CAST(CAST('-0.0000000005' AS BIGNUMERIC) AS NUMERIC)", Decimal("-0.000000001")),
        ("SAFE_DIVIDE(NUMERIC '1', 0)", None),
        ("SAFE_DIVIDE(6, 3)", 2.0),
        ("7 / 2", 3.5),
        ("DATE_TRUNC(DATE '2026-11-20', MONTH)", date(2026, 11, 1)),
        ("DATE_ADD(DATE '2026-01-31', INTERVAL 1 MONTH)", date(2026, 2, 28)),
        ("DATE_SUB(DATE '2026-11-20', INTERVAL 40 DAY)", date(2026, 10, 11)),
        ("DATE_DIFF(DATE '2026-11-20', DATE '2026-11-01', DAY)", 19),
        ("EXTRACT(ISOWEEK FROM DATE '2027-01-01')", 53),
        ("DATE(TIMESTAMP_MILLIS(1795210812331))", date(2026, 11, 20)),
        ("TIMESTAMP_DIFF(TIMESTAMP '2026-11-20 23:59:00+00', TIMESTAMP '2026-11-20 00:01:00+00', DAY)", 0),
        ('JSON_VALUE(\'{"a":{"b":"x"}}\', \'$.a.b\')', "x"),
        ("JSON_VALUE('{\"a\":\"41280.000000\"}', '$.a')", "41280.000000"),
        ("JSON_VALUE('{\"a\":40.16699999999999}', '$.a')", "40.16699999999999"),
        ("JSON_VALUE('{\"a\":null}', '$.a')", None),
        ("JSON_VALUE('{\"a\":[1]}', '$.a')", None),
        ("ARRAY_LENGTH(JSON_QUERY_ARRAY('{\"a\":[1,2]}', '$.a'))", 2),
        ("JSON_QUERY_ARRAY('{\"a\":\"\"}', '$.a')", None),
        ("JSON_QUERY_ARRAY('{\"a\":{}}', '$.a')", None),
        ("COUNTIF(FALSE)", 0),
        ("LOGICAL_OR(TRUE)", True),
        ("IFNULL(NULL, 'x')", "x"),
        ("STARTS_WITH('INCLUDED_IN_PRO', 'INCLUDED')", True),
        ("REGEXP_REPLACE('Errored, Not Charged', '[^A-Za-z]+', '_')", "Errored_Not_Charged"),
        ("MOD(-3, 7)", -3),
        ("SAFE_CAST('x' AS DATE)", None),
    ],
)
def test_expressions_have_the_same_value(expression: str, expected: object) -> None:
    """DuckDB returns the value and type that BigQuery documents."""
    result = value(expression)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_days_are_utc_days_in_every_time_zone(zone: str) -> None:
    """Conversions between days and timestamps do not depend on the time zone of the session."""
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{zone}'")
    instants = "SELECT TIMESTAMP '2026-11-20 01:00:00+00' AS a, TIMESTAMP '2026-11-20 23:00:00+00' AS b"
    same = "TIMESTAMP(DATE '2026-11-20') = TIMESTAMP '2026-11-20 00:00:00+00'"
    rows = connection.execute(to_duckdb(f"SELECT DATE(a), DATE(b), {same} FROM ({instants})")).fetchall()
    assert rows == [(date(2026, 11, 20), date(2026, 11, 20), True)]


RECORD = """'{"a":"x","b":{"c":41280.25},"d":[1],"e":"{}","f":null,"g":"1\\\\u00e9\\\\"","h":true}'"""


def test_a_record_is_parsed_once_for_many_values() -> None:
    """Three or more values of a record are read with one call, and equal those that are read alone."""
    paths = ["$.a", "$.b.c", "$.d", "$.e", "$.f", "$.g", "$.h", "$.nothing", "$.b"]
    values = ", ".join(f"JSON_VALUE(r, '{path}') AS v{number}" for number, path in enumerate(paths))
    together = to_duckdb(f"SELECT {values} FROM (SELECT {RECORD} AS r)")
    assert together.count("LIST_EXTRACT") == len(paths)
    row = duckdb.connect().execute(together).fetchall()[0]
    assert row == ("x", "41280.25", None, "{}", None, '1é"', "true", None, None)
    assert list(row) == [value(f"JSON_VALUE(r, '{path}') FROM (SELECT {RECORD} AS r)") for path in paths]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("@path", "x"), ("'$.\"a.b\"'", "dot"), ("'$.d[0]'", "1"), ("CONCAT('$.', 'a')", "x")],
)
def test_a_path_that_is_not_plain_is_read_alone(path: str, expected: str) -> None:
    """A parameter, an expression, a subscript or a quoted name keeps its value beside other reads."""
    record = """(SELECT '{"a":"x","b":2,"c":3,"a.b":"dot","d":[1]}' AS r)"""
    sql = to_duckdb(
        f"SELECT JSON_VALUE(r, {path}), JSON_VALUE(r, '$.a'), JSON_VALUE(r, '$.b'), JSON_VALUE(r, '$.c') FROM {record}"
    )
    assert sql.count("LIST_EXTRACT") == 3
    rows = duckdb.connect().execute(sql, {"path": "$.a"} if path == "@path" else None).fetchall()
    assert rows == [(expected, "x", "2", "3")]


def test_grouped_expressions_equal_the_selected_ones() -> None:
    """A grouped value is translated alike in the SELECT list and in GROUP BY."""
    keys = ", ".join(f"JSON_VALUE(r, '$.{name}')" for name in "abcd")
    sql = to_duckdb(f"SELECT {keys}, COUNT(*) AS n FROM (SELECT '{{}}' AS r) GROUP BY {keys}")
    assert duckdb.connect().execute(sql).fetchall() == [(None, None, None, None, 1)]


def test_division_by_zero_is_an_error() -> None:
    """1/0 fails, as in BigQuery."""
    with pytest.raises(duckdb.Error, match="division by zero"):
        value("1 / 0")


def test_parameters_keep_their_names() -> None:
    """A parameter @name is bound by its name."""
    assert value("@day", day=date(2026, 1, 2)) == date(2026, 1, 2)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a[0] FROM t",
        "SELECT CURRENT_DATE()",
        "SELECT CURRENT_TIMESTAMP()",
        "SELECT EXTRACT(WEEK FROM d) FROM t",
        "SELECT EXTRACT(WEEK(MONDAY) FROM d) FROM t",
        "SELECT EXTRACT(DAYOFWEEK FROM d) FROM t",
        "SELECT x FROM UNNEST([1, 2]) AS x WITH OFFSET",
        "SELECT TIMESTAMP_SECONDS(1)",
        "SELECT 1; SELECT 2",
        "SELECT FROM WHERE",
    ],
)
def test_ambiguous_constructs_are_rejected(sql: str) -> None:
    """A construct on which the engines disagree is an error."""
    with pytest.raises(UnsupportedSQL):
        to_duckdb(sql)


def test_the_advised_day_of_the_week_is_the_same_in_both_engines() -> None:
    """The expression that the error advises is 1 on Mondays to 7 on Sundays, also across a year, in both engines."""
    days = "SELECT d FROM UNNEST(GENERATE_DATE_ARRAY(DATE '2026-12-28', DATE '2027-01-10')) AS d"
    with pytest.raises(UnsupportedSQL) as caught:
        to_duckdb(f"SELECT EXTRACT(DAYOFWEEK FROM d) FROM ({days})")
    (advised,) = re.findall(r"DATE_DIFF\(.+\) \+ 1", str(caught.value))
    sql = f"SELECT d, {advised} AS weekday FROM ({days})"
    ours = duckdb.connect().execute(to_duckdb(sql)).fetchall()
    assert sorted(ours) == [(day, day.isoweekday()) for day, _ in sorted(ours)]
    assert sorted(map(tuple, Reference({}).query(sql)[1])) == sorted(ours)


def test_tables_lose_their_dataset() -> None:
    """Translated table names are unqualified, so that they do not depend on the name of the file."""
    assert "ai_usage" not in to_duckdb("SELECT * FROM ai_usage.fct_cost_daily AS f JOIN ai_usage.dim_date ON TRUE")


def test_lineage_is_read_from_the_sql() -> None:
    """The tables that a statement reads exclude its CTEs and the table that it creates."""
    sql = (
        "CREATE VIEW ai_usage.v (a) AS WITH c AS (SELECT * FROM ai_usage.t) "
        "SELECT c.a FROM c JOIN ai_usage.u ON u.a = c.a WHERE EXISTS (SELECT 1 FROM ai_usage.w)"
    )
    assert tables_read(parse(sql)) == ("t", "u", "w")
