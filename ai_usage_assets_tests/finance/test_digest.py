"""The daily digest, after a run and on request."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import cli
from ai_usage_assets.finance import digest
from ai_usage_assets.finance.close import journal
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RUNS
from ai_usage_assets.warehouse.sql_files import query_names, read_query
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies
from ai_usage_assets_tests.support.materialize import materialize_views
from ai_usage_assets_tests.support.warehouse_rows import (
    charge,
    copy_warehouse,
    create_warehouse,
    day_log_row,
    execute_sql,
    fill,
    key_mapping,
    load_tab,
)

TODAY, DAY = date(2026, 11, 11), date(2026, 11, 10)
NOW = datetime(2026, 11, 11, 14, tzinfo=UTC)
ADA = "ada@example.com"
SECRET = "T0PSECRETPATH"
RUN = {"run_id": "r1", "job": "daily", "last_day": DAY, "outcome": "success"}


@pytest.fixture(scope="module")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty days of $10 for a key and $1 for a person, who spends $300 on the last day; to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "w.duckdb"
    warehouse = create_warehouse(path, date(2026, 9, 1), TODAY)
    days = [DAY - timedelta(days=n) for n in range(60)]
    charges = [charge(day.isoformat(), "10", key="k1") for day in days]
    charges += [charge(day.isoformat(), "1", user=ADA) for day in days[1:]]
    charges += [charge(DAY.isoformat(), "300", user=ADA, model="m2")]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    warehouse.append(OPS_ASSET_DAYS, [day_log_row(day) for day in days])
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", "90"))
    warehouse.close()
    return path


@pytest.fixture(scope="module")
def frozen_file(prepared_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same file with a person of the team `R&D <1>` and the views of the digest as tables; to be copied."""
    with copy_warehouse(prepared_file, tmp_path_factory.mktemp("frozen")) as copy:
        fill(copy, "int_key_mapping", [key_mapping("anthropic", "user", "bea@example.com", "R&D <1>", "CC-2")])
        fill(copy, "int_anthropic_cost_daily", [charge("2026-11-10", "400", user="bea@example.com", model="m3")])
    queries = [read_query(name) for name in query_names() if name.startswith("finance/digest_")]
    views = {name for sql in queries for name in googlesql.tables_read(googlesql.parse(sql))}
    materialize_views(copy.path, {*views, "kpi_forecast_total"})
    return copy.path


@pytest.fixture
def warehouse(prepared_file: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the prepared warehouse."""
    with copy_warehouse(prepared_file, tmp_path) as copy:
        yield copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the file of `frozen`."""
    return tmp_path / "w.duckdb"


@pytest.fixture
def frozen(frozen_file: Path, path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the warehouse with tables instead of views."""
    with copy_warehouse(frozen_file, path.parent) as copy:
        yield copy


def check(**changed: Any) -> dict[str, Any]:
    """A failed check of the run, by default a warning."""
    return {
        "run_id": "r1", "checked_at": NOW, "asset": "kpi_unallocated", "check_name": "cost_center_coverage",
        "passed": False,
        "severity": "WARN", "blocking": False, "amount_usd": Decimal(309), "message": "", **changed,
    }  # fmt: skip


def settings(path: Path, **variables: str) -> Settings:
    """The settings of a run on the next morning."""
    return Settings.from_environment({"AI_USAGE_DUCKDB_PATH": str(path), "AI_USAGE_NOW": NOW.isoformat(), **variables})


def builder(warehouse: DuckDBWarehouse, day: date = DAY, *, with_people: bool = False) -> digest.DigestBuilder:
    """The builder of a digest, which queries the figures of a line when the line is read."""
    return digest.DigestBuilder(warehouse, day, with_people)


def first_lines(warehouse: DuckDBWarehouse, count: int, day: date = DAY) -> list[str]:
    """The first lines of a digest: its title, the day and the month."""
    return list(islice(builder(warehouse, day).build(None), count))


def missing(lines: Iterable[str], *facts: tuple[str, ...]) -> list[tuple[str, str]]:
    """The facts that their line lacks, for each line in order."""
    return [(line, term) for line, terms in zip(lines, facts, strict=True) for term in terms if term not in line]


def test_the_lines_of_a_digest(warehouse: DuckDBWarehouse) -> None:
    """The digest has yesterday, the month, budgets, unallocated spend, anomalies and failed checks, and no e-mail."""
    warehouse.append(
        OPS_CHECK_RESULTS,
        [check(), check(check_name="control_total", severity="ERROR", amount_usd=Decimal("0.01")), check(run_id="r0")],
    )
    (forecast,) = warehouse.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    lines = digest.build_digest(warehouse, DAY, run=RUN).lines
    # The key: 10 days of $10, with a budget of $90. The person: 9 days of $1, then $300.
    expected = [
        ("2026-11-10 (UTC)",),
        ("2026-11-10: $310.00 (Anthropic $310.00), provisional",),
        ("Month to date (Nov 1–10): $409.00", f"${forecast['forecast_usd']:,.2f}"),
        ("$100.00 of $90.00, 111.1%", "$309.00 of spend without a budget"),
        ("Over budget", "CC-1 $100.00 of $90.00"),
        ("November", "$309.00, 75.6%", "kpi_unallocated"),
        ("2026-11-10 Anthropic, a person", "$300.00", "$1.00", "mainly m2"),
        ("Failed", "control_total ($0.01)"),
        ("Warnings", "cost_center_coverage ($309.00)"),
    ]
    assert missing(lines, *expected) == []
    assert [line for line in lines[1:] if not line.startswith("• ")] == []
    assert "@" not in "".join(lines)


def test_vendors_that_are_behind_and_missing_days_are_reported(warehouse: DuckDBWarehouse) -> None:
    """Missing days before the newest one make the month too low; other months do not matter."""
    assert list(builder(warehouse).completeness_lines()) == []
    failed = [day_log_row(date(2026, 11, day), status="failed", completed_at=None) for day in (3, 4)]
    earlier = day_log_row(date(2026, 10, 30), status="failed", completed_at=None)
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [*failed, earlier])
    too_low = ("November", "too low", "2 days of Anthropic")
    assert missing(builder(warehouse).completeness_lines(), too_low) == []
    cursor = {"vendor": "cursor", "asset": "raw_cursor_usage_events"}
    warehouse.append(OPS_ASSET_DAYS, [day_log_row(DAY - timedelta(days=n), **cursor) for n in (2, 3)])
    behind = ("Behind", "Cursor is loaded only to 2026-11-08")
    (line, _) = builder(warehouse).completeness_lines()
    assert missing([line], behind) == []
    # A vendor without a key counts as missing until the end of the next month.
    since = {**cursor, "status": "not_configured", "completed_at": None}
    warehouse.append(OPS_ASSET_DAYS, [day_log_row(DAY - timedelta(days=n), **since) for n in (0, 1)])
    (line, _) = builder(warehouse).completeness_lines()
    assert missing([line], behind) == []
    execute_sql(
        warehouse,
        "UPDATE ops_asset_days SET usage_date = usage_date - 60 WHERE vendor = 'cursor' AND status = 'complete'",
    )
    assert missing(builder(warehouse).completeness_lines(), too_low) == []


def test_sources_that_failed_today_are_named_with_the_cause(warehouse: DuckDBWarehouse) -> None:
    """Each is named once, by its bill; a day that failed on an earlier day is not repeated, and nobody is named."""
    assert list(builder(warehouse).failure_lines()) == []
    now = datetime(2026, 11, 11, 6, tzinfo=UTC)
    warehouse.upsert(
        OPS_ASSET_DAYS,
        ("asset", "usage_date"),
        [
            day_log_row(DAY, status="failed", message="answered 401", attempted_at=now),
            day_log_row(DAY, asset="raw_anthropic_users", status="failed", message="timed out", attempted_at=now),
            day_log_row(DAY, asset="raw_cursor_spend", vendor="cursor", status="failed", message="ada@acme.test",
                        attempted_at=now),
            day_log_row(DAY - timedelta(days=1), asset="tab people", vendor="sheet", status="failed", message="gone",
                        attempted_at=now - timedelta(days=1)),
        ],
    )  # fmt: skip
    (line,) = builder(warehouse).failure_lines()
    assert "Anthropic (answered 401)" in line
    assert "Cursor (" in line
    for text in ("timed out", "gone", "@"):
        assert text not in line


def test_an_empty_warehouse_has_no_figures(tmp_path: Path) -> None:
    """The digest of an empty warehouse says that no spend is loaded."""
    empty_warehouse = create_warehouse(tmp_path / "w.duckdb", TODAY, TODAY)
    assert missing(digest.build_digest(empty_warehouse, DAY).lines, ("2026-11-10",), ("no spend is loaded",)) == []


def test_one_cent_above_the_budget_is_over_budget(warehouse: DuckDBWarehouse) -> None:
    """Spend or its forecast is over budget from the first cent, not when it is equal; a budget of 0 has no share."""
    # Each has spent $100, and $300 are expected in November.
    budgets = {"CC-1": "100.01", "CC-2": "100", "CC-3": "99.99", "CC-4": "0", "CC-5": "299.99", "CC-6": "300"}
    days = [DAY - timedelta(days=n) for n in range(60)]
    fill(warehouse, "int_anthropic_cost_daily", [
        charge(day.isoformat(), "10", key=f"k{number}") for day in days for number in range(2, 8)
    ])  # fmt: skip
    fill(warehouse, "int_key_mapping", [
        key_mapping("anthropic", "api_key", f"k{number}", "Platform", f"CC-{number}", number) for number in range(2, 8)
    ])  # fmt: skip
    load_tab(warehouse, TODAY, "budgets", *(("2026-11", name, usd) for name, usd in budgets.items()))
    _, _, _, totals, over, forecast, _ = first_lines(warehouse, 7)
    # CC-7 has no budget, and $309 of the person are unallocated.
    assert missing([totals], ("$600.00 of $899.99, 66.7%", "$409.00 of spend without", "1 cost center with")) == []
    assert re.findall(r"(CC-\d) (\S+) of (\S+)[.;]", over) == [
        ("CC-4", "$100.00", "$0.00"), ("CC-3", "$100.00", "$99.99"),
    ]  # fmt: skip
    assert forecast.startswith("• Forecast over budget")
    assert re.findall(r"(CC-\d) (\S+) of (\S+)[.;]", forecast) == [
        ("CC-2", "$300.00", "$100.00"), ("CC-1", "$300.00", "$100.01"), ("CC-5", "$300.00", "$299.99"),
    ]  # fmt: skip
    load_tab(warehouse, TODAY + timedelta(days=1), "budgets", ("2026-11", "CC-4", "0"))
    assert "$100.00 of $0.00. " in first_lines(warehouse, 4)[3]


def test_names_cannot_add_lines_or_mentions(warehouse: DuckDBWarehouse) -> None:
    """A long name with line breaks and mentions stays a short part of its line; people are named only when enabled."""
    team = "prod\n• Failed checks: none\u2028@channel (@all) .@here " + "x" * 50_000
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "user", "bea@example.com", team, "CC-2")])
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-11-10", "400", user="bea@example.com", model="m3")])
    (redacted,) = builder(warehouse).anomaly_lines()
    (named,) = builder(warehouse, with_people=True).anomaly_lines()
    for text in (redacted, named):
        assert "team prod • Failed checks: none ＠channel (＠all) " in text
        assert len(text.splitlines()) == 1
        assert not re.search(r"(?<![a-z])@", text)
        assert "x…: $400.00" in text
        assert len(text) < 1_500
    assert "@" not in redacted
    assert f"Anthropic, {ADA}: $300.00" in named


def test_a_long_message_omits_its_longest_lines() -> None:
    """The longest lines are omitted, and a last line says so."""
    text = digest.format_for_chat(["A headline.", "&" * 3_000, "• Failed checks: <a>.", "x" * 9_000])
    assert len(text) < 16_383
    *lines, last = text.splitlines()
    assert lines == ["A headline.", "• Failed checks: &lt;a&gt;.", "x" * 9_000]
    assert missing([last], ("1 line omitted", "`ai-usage digest`")) == []


@pytest.mark.parametrize(
    ("outcome", "description"), [("failed", "failed"), ("running", "interrupted"), ("success", None), (None, None)]
)
def test_without_a_run_the_title_describes_the_last_run(
    frozen: DuckDBWarehouse, outcome: str | None, description: str | None
) -> None:
    """On request the digest says that the last run failed or was interrupted."""
    if outcome:
        row = {"run_id": "r1", "job": "daily", "started_at": NOW, "outcome": outcome, "version": "1"}
        frozen.append(OPS_RUNS, [row])
    (title,) = first_lines(frozen, 1)
    assert ("2026-11-11 14:00 UTC" in title) == bool(description)
    assert title.endswith(f"{description}." if description else "(UTC).")


def test_a_credit_has_its_sign_before_the_dollars(warehouse: DuckDBWarehouse) -> None:
    """A negative day is formatted as in the report."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(DAY.isoformat(), "-321", key="k1")])
    assert "−$11.00 (Anthropic −$11.00)" in first_lines(warehouse, 2)[1]


def test_a_month_that_is_over_and_closed(warehouse: DuckDBWarehouse) -> None:
    """For a finished month the digest covers all of it, with the posted and the corrected amount once it is closed."""
    october = date(2026, 10, 31)
    assert first_lines(warehouse, 3, october)[2].endswith("• Month (Oct 1–31): $341.00.")
    journal.freeze_close(warehouse, journal.draft_close(warehouse, date(2026, 10, 1), NOW))
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-10-20", "-5.5", key="k1")])
    line = first_lines(warehouse, 3, october)[2]
    assert missing([line], ("Month (Oct 1–31): $335.50", "November 11, 2026", "$341.00 posted", "−$5.50")) == []


def test_an_anomaly_of_a_model_names_it_once(warehouse: DuckDBWarehouse) -> None:
    """The main model is left out when the anomaly is about that model."""
    charges = [charge(DAY.isoformat(), "30", key=f"n{number}", model="m1") for number in range(20)]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    (line,) = builder(warehouse).anomaly_lines()
    assert "model m1: $610.00, expected $11.00" in line
    assert "model m1: $610.00, expected $11.00, mainly" not in line


# --- after a run ------------------------------------------------------------------------------------------------------


def publish(warehouse: DuckDBWarehouse, run_settings: Settings, **changed: Any) -> list[tuple[int, str]]:
    """Publishes the digest of a run and returns the log entries that this creates."""
    entries: list[tuple[int, str]] = []
    digest.publish_digest(
        warehouse, run_settings, RUN | changed, lambda level, message, extra=None: entries.append((level, message))
    )
    return entries


@pytest.mark.parametrize("people", [None, "off", "on"])
def test_the_chat_receives_the_logged_digest(frozen: DuckDBWarehouse, path: Path, people: str | None) -> None:
    """The log and the chat receive the same text, escaped for the chat; only the chat names people, if set so."""
    variables = {"AI_USAGE_DIGEST_PEOPLE": people} if people else {}
    with serve_replies(Reply(body=b"ok")) as chat:
        entries = publish(frozen, settings(path, AI_USAGE_DIGEST_WEBHOOK=f"{chat.url}/{SECRET}", **variables))
    ((level, message),) = entries
    (request,) = chat.requests
    assert (level, "2026-11-10" in message.splitlines()[0]) == (logging.INFO, True)
    text = json.loads(request.body)["text"]
    assert "R&amp;D &lt;1&gt;: $400.00" in text
    assert "ada" not in message
    if people == "on":
        assert f"Anthropic, {ADA}: $300.00" in text
    else:
        assert text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == message
        assert "Anthropic, a person: $300.00" in text
        assert "@" not in text


def test_other_runs_publish_no_digest(frozen: DuckDBWarehouse, path: Path) -> None:
    """A rebuild, a backfill, an interrupted run, and a run with the digest turned off publish nothing."""
    others: list[dict[str, Any]] = [{"job": "rebuild"}, {"last_day": date(2026, 3, 1)}, {"outcome": "interrupted"}]
    assert [changed for changed in others if publish(frozen, settings(path), **changed)] == []
    assert publish(frozen, settings(path, AI_USAGE_DIGEST="off")) == []
    assert len(publish(frozen, settings(path))) == 1


@pytest.mark.parametrize(
    ("webhook", "expected"), [("http://127.0.0.1:9/" + SECRET, "127.0.0.1"), ("projects/nonsense", "secret")]
)
def test_an_unreachable_chat_does_not_fail_the_run(
    frozen: DuckDBWarehouse, path: Path, webhook: str, expected: str
) -> None:
    """The log has the digest and a warning without the address."""
    (_, _), (level, message) = publish(frozen, settings(path, AI_USAGE_DIGEST_WEBHOOK=webhook))
    assert (level, expected in message) == (logging.WARNING, True)
    assert SECRET not in message


def test_a_failing_digest_does_not_fail_the_run(path: Path) -> None:
    """A warehouse without views causes a warning."""
    ((level, message),) = publish(DuckDBWarehouse(path), settings(path))
    assert (level, "digest failed" in message) == (logging.WARNING, True)


# --- on request -------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_sends(
    frozen: DuckDBWarehouse, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ai-usage digest` prints the digest; `--send` delivers it and exits with 1 when the chat rejects it."""
    frozen.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(path))
    monkeypatch.setenv("AI_USAGE_NOW", NOW.isoformat())
    assert cli.main(["digest"]) == 0
    output = capsys.readouterr().out
    assert "2026-11-10: $710.00" in output.splitlines()[1]
    assert "ada" not in output
    monkeypatch.setenv("AI_USAGE_DIGEST_PEOPLE", "on")
    assert cli.main(["digest"]) == 0
    assert f"{ADA}: $300.00" in capsys.readouterr().out
    monkeypatch.delenv("AI_USAGE_DIGEST_PEOPLE")
    assert cli.main(["digest", "--send"]) == 2
    with serve_replies(Reply(body=b"ok"), Reply(404, b"no_service")) as chat:
        monkeypatch.setenv("AI_USAGE_DIGEST_WEBHOOK", f"{chat.url}/{SECRET}")
        assert [cli.main(["digest", "--send"]) for _ in range(2)] == [0, 1]
        assert len(chat.requests) == 2
    errors = capsys.readouterr().err
    assert "channel was removed" in errors
    assert SECRET not in errors
