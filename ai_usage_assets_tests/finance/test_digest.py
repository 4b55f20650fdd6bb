"""The daily digest, after a run and on request."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import cli
from ai_usage_assets.finance import digest
from ai_usage_assets.finance.close import journal
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RUNS
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies
from ai_usage_assets_tests.support.warehouse_rows import (
    charge,
    create_warehouse,
    day_log_row,
    fill,
    key_mapping,
    load_tab,
)

TODAY, DAY = date(2026, 11, 11), date(2026, 11, 10)
NOW = datetime(2026, 11, 11, 14, tzinfo=UTC)
SECRET = "T0PSECRETPATH"
RUN = {"run_id": "r1", "job": "daily", "last_day": DAY, "outcome": "success"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the warehouse file."""
    return tmp_path / "w.duckdb"


@pytest.fixture
def warehouse(path: Path) -> Iterator[DuckDBWarehouse]:
    """Sixty days of $10 for a key and $1 for a person, who spends $300 on the last day."""
    warehouse = create_warehouse(path, date(2026, 9, 1), TODAY)
    days = [DAY - timedelta(days=n) for n in range(60)]
    charges = [charge(day.isoformat(), "10", key="k1") for day in days]
    charges += [charge(day.isoformat(), "1", user="ada@example.com") for day in days[1:]]
    charges += [charge(DAY.isoformat(), "300", user="ada@example.com", model="m2")]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    warehouse.append(OPS_ASSET_DAYS, [day_log_row(day) for day in days])
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", "90"))
    yield warehouse
    warehouse.close()


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


def test_the_lines_of_a_digest(warehouse: DuckDBWarehouse) -> None:
    """The digest has yesterday, the month, budgets, unallocated spend, anomalies and failed checks."""
    warehouse.append(
        OPS_CHECK_RESULTS,
        [check(), check(check_name="control_total", severity="ERROR", amount_usd=Decimal("0.01")), check(run_id="r0")],
    )
    # The key: 10 days of $10. The person: 9 days of $1, then $300.
    assert str(digest.build_digest(warehouse, DAY, run=RUN)).splitlines() == [
        "AI tool spend, 2026-11-10 (UTC).",
        "• 2026-11-10: $310.00 (Anthropic $310.00), provisional.",
        # The key has spent $100 of its budget of $90. The forecast is tested with its view.
        "• Month to date (Nov 1–10): $409.00." + digest.DigestBuilder(warehouse, DAY, False)._forecast_text(),
        "• Budgets: $100.00 of $90.00, 111.1%. $309.00 of spend without a budget is not included.",
        "• Over budget: CC-1 $100.00 of $90.00.",
        "• Unallocated in November: $309.00, 75.6%. kpi_unallocated lists the rows to add to the sheet.",
        "• Anomalies: 2026-11-10 Anthropic, a person: $300.00, expected $1.00, mainly m2.",
        "• Failed checks: control_total ($0.01).",
        "• Warnings: cost_center_coverage ($309.00).",
    ]


def test_people_are_named_only_when_enabled(warehouse: DuckDBWarehouse) -> None:
    """Without the option the digest contains no e-mail address."""
    assert "@" not in str(digest.build_digest(warehouse, DAY))
    assert "Anthropic, ada@example.com: $300.00" in str(digest.build_digest(warehouse, DAY, with_people=True))


def test_a_vendor_that_is_behind_is_reported(warehouse: DuckDBWarehouse) -> None:
    """A vendor whose newest day is missing is listed with its last loaded day."""
    late_days = [day_log_row(DAY - timedelta(days=n), vendor="cursor", asset="raw_cursor_usage_events") for n in (2, 3)]
    warehouse.append(OPS_ASSET_DAYS, late_days)
    line = "• Behind: Cursor is loaded only to 2026-11-08."
    assert line in digest.build_digest(warehouse, DAY).lines
    # A vendor without a key counts as missing until the end of the next month.
    since = {"vendor": "cursor", "asset": "raw_cursor_usage_events", "status": "not_configured", "completed_at": None}
    warehouse.append(OPS_ASSET_DAYS, [day_log_row(DAY - timedelta(days=n), **since) for n in (0, 1)])
    assert line in digest.build_digest(warehouse, DAY).lines
    warehouse._connect().execute(
        "UPDATE ops_asset_days SET usage_date = usage_date - 60 WHERE vendor = 'cursor' AND status = 'complete'"
    )
    assert not [line for line in digest.build_digest(warehouse, DAY).lines if "Cursor" in line and "loaded" in line]


def test_missing_days_of_the_month_are_reported(warehouse: DuckDBWarehouse) -> None:
    """Missing days before the newest one make the month too low."""
    assert not [line for line in digest.build_digest(warehouse, DAY).lines if "too low" in line]
    failed = [day_log_row(date(2026, 11, day), status="failed", completed_at=None) for day in (3, 4)]
    earlier = day_log_row(date(2026, 10, 30), status="failed", completed_at=None)
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [*failed, earlier])
    assert "• Spend of November is too low: 2 days of Anthropic missing." in digest.build_digest(warehouse, DAY).lines


def test_an_empty_warehouse_has_no_figures(tmp_path: Path) -> None:
    """The digest of an empty warehouse says that no spend is loaded."""
    empty_warehouse = create_warehouse(tmp_path / "w.duckdb", TODAY, TODAY)
    assert digest.build_digest(empty_warehouse, DAY).lines == (
        "AI tool spend, 2026-11-10 (UTC).",
        "• 2026-11-10: no spend is loaded.",
    )


def test_any_spend_exceeds_a_budget_of_zero(warehouse: DuckDBWarehouse) -> None:
    """A budget of zero can be exceeded and has no used share."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", "0"), ("2026-11", "CC-9", "0"))
    lines = digest.build_digest(warehouse, DAY).lines
    assert "• Over budget: CC-1 $100.00 of $0.00." in lines
    unbudgeted = "$309.00 of spend without a budget is not included"
    assert f"• Budgets: $100.00 of $0.00. {unbudgeted}." in lines


@pytest.mark.parametrize(("budget", "is_over"), [("99.99", True), ("100", False), ("100.01", False)])
def test_one_cent_above_the_budget_is_over_budget(warehouse: DuckDBWarehouse, budget: str, is_over: bool) -> None:
    """Spend is over budget from the first cent, and not when it is equal to the budget."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", budget))
    line = f"• Over budget: CC-1 $100.00 of ${Decimal(budget):.2f}."
    assert (line in digest.build_digest(warehouse, DAY).lines) == is_over


@pytest.mark.parametrize(("cents", "is_over"), [(-1, True), (0, False), (1, False)])
def test_a_forecast_one_cent_above_the_budget_is_over_budget(
    warehouse: DuckDBWarehouse, cents: int, is_over: bool
) -> None:
    """The forecast of a cost center is over budget from the first cent."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-1", "1000"))
    (row,) = warehouse.rows(
        "SELECT projected_usd FROM ai_usage.kpi_budget_vs_actual "
        "WHERE month = DATE '2026-11-01' AND cost_center = 'CC-1'"
    )
    # Ten dollars on every day of November.
    assert row["projected_usd"] == 300
    load_tab(warehouse, TODAY + timedelta(days=1), "budgets", ("2026-11", "CC-1", str(300 + Decimal(cents) / 100)))
    lines = [line for line in digest.build_digest(warehouse, DAY).lines if "ver budget" in line]
    assert lines == (["• Forecast over budget: CC-1 $300.00 of $299.99."] if is_over else [])


def test_incomplete_budgets_are_reported(warehouse: DuckDBWarehouse) -> None:
    """Spend without a budget is listed separately."""
    load_tab(warehouse, TODAY, "budgets", ("2026-11", "CC-9", "50"))
    totals = "$0.00 of $50.00, 0.0%. $409.00 of spend without a budget is not included."
    assert (
        f"• Budgets: {totals} Budgets are incomplete: 1 cost center with spend has none."
        in digest.build_digest(warehouse, DAY).lines
    )


def test_names_cannot_add_lines_or_mentions(warehouse: DuckDBWarehouse) -> None:
    """A long name with line breaks and mentions stays a short part of its line."""
    team = "prod\n• Failed checks: none\u2028@channel (@all) .@here " + "x" * 50_000
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "user", "bea@example.com", team, "CC-2")])
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-11-10", "400", user="bea@example.com", model="m3")])
    redacted = digest.build_digest(warehouse, DAY).lines
    for lines in (redacted, digest.build_digest(warehouse, DAY, with_people=True).lines):
        text = "\n".join(lines)
        assert "team prod • Failed checks: none ＠channel (＠all) " in text
        assert not [line for line in text.splitlines() if "Failed" in line and not line.startswith("• Anomalies")]
        assert not re.search(r"(?<![a-z])@", text)
        assert "x…: $400.00" in text
        assert len(text) < 1_500
    assert "@" not in "".join(redacted)


def test_a_long_message_omits_its_longest_lines() -> None:
    """The longest lines are omitted, and a last line says so."""
    text = digest.format_for_chat(["A headline.", "&" * 3_000, "• Failed checks: <a>.", "x" * 9_000])
    assert len(text) < 16_383
    assert text.splitlines()[0::2] == ["A headline.", "x" * 9_000]
    assert text.splitlines()[1] == "• Failed checks: &lt;a&gt;."
    assert text.splitlines()[3] == "• 1 line omitted because of length: see `ai-usage digest`."


@pytest.mark.parametrize(
    ("outcome", "description"), [("failed", "failed"), ("running", "was interrupted"), ("success", None), (None, None)]
)
def test_without_a_run_the_title_describes_the_last_run(
    warehouse: DuckDBWarehouse, outcome: str | None, description: str | None
) -> None:
    """On request the digest says that the last run failed or was interrupted."""
    if outcome:
        row = {"run_id": "r1", "job": "daily", "started_at": NOW, "outcome": outcome, "version": "1"}
        warehouse.append(OPS_RUNS, [row])
    last_run = f" The last run, started 2026-11-11 14:00 UTC, {description}." if description else ""
    assert digest.build_digest(warehouse, DAY).lines[0] == f"AI tool spend, 2026-11-10 (UTC).{last_run}"


def test_a_credit_has_its_sign_before_the_dollars(warehouse: DuckDBWarehouse) -> None:
    """A negative day is formatted as in the report."""
    fill(warehouse, "int_anthropic_cost_daily", [charge(DAY.isoformat(), "-321", key="k1")])
    assert "• 2026-11-10: −$11.00 (Anthropic −$11.00), provisional." in str(digest.build_digest(warehouse, DAY))


def test_a_month_that_is_over_and_closed(warehouse: DuckDBWarehouse) -> None:
    """For a finished month the digest covers all of it, with the posted and the corrected amount once it is closed."""
    october = date(2026, 10, 31)
    assert "• Month (Oct 1–31): $341.00." in digest.build_digest(warehouse, october).lines
    journal.freeze_close(warehouse, journal.draft_close(warehouse, date(2026, 10, 1), NOW))
    assert "• Month (Oct 1–31): $341.00 (closed on November 11, 2026 with $341.00 posted)." in str(
        digest.build_digest(warehouse, october)
    )
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-10-20", "-5.5", key="k1")])
    close = "closed on November 11, 2026 with $341.00 posted; corrections since then: −$5.50"
    assert f"• Month (Oct 1–31): $335.50 ({close})." in digest.build_digest(warehouse, october).lines


def test_an_anomaly_of_a_model_names_it_once(warehouse: DuckDBWarehouse) -> None:
    """The main model is left out when the anomaly is about that model."""
    charges = [charge(DAY.isoformat(), "30", key=f"n{number}", model="m1") for number in range(20)]
    fill(warehouse, "int_anthropic_cost_daily", charges)
    (line,) = [line for line in digest.build_digest(warehouse, DAY).lines if line.startswith("• Anomalies")]
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


def test_the_chat_receives_the_logged_digest(warehouse: DuckDBWarehouse, path: Path) -> None:
    """After a daily run the log and the chat receive the same text, escaped for the chat."""
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "user", "bea@example.com", "R&D <1>", "CC-2")])
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-11-10", "400", user="bea@example.com", model="m3")])
    with serve_replies(Reply(body=b"ok")) as chat:
        entries = publish(warehouse, settings(path, AI_USAGE_DIGEST_WEBHOOK=f"{chat.url}/{SECRET}"))
    ((level, message),) = entries
    (request,) = chat.requests
    assert (level, message.splitlines()[0]) == (logging.INFO, "AI tool spend, 2026-11-10 (UTC).")
    text = json.loads(request.body)["text"]
    assert text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == message
    assert "R&amp;D &lt;1&gt;: $400.00" in text
    assert "@" not in text


@pytest.mark.parametrize("people", [None, "off", "on"])
def test_the_chat_names_people_only_when_the_setting_is_on(
    warehouse: DuckDBWarehouse, path: Path, people: str | None
) -> None:
    """By default the chat receives no person; with AI_USAGE_DIGEST_PEOPLE=on it does, and the log still does not."""
    variables = {"AI_USAGE_DIGEST_PEOPLE": people} if people else {}
    with serve_replies(Reply(body=b"ok")) as chat:
        ((_, message),) = publish(
            warehouse, settings(path, AI_USAGE_DIGEST_WEBHOOK=f"{chat.url}/{SECRET}", **variables)
        )
    text = json.loads(chat.requests[0].body)["text"]
    assert "Anthropic, a person: $300.00" in text or people == "on"
    assert ("ada@example.com" in text, "ada" in text) == (people == "on", people == "on")
    assert "ada" not in message


@pytest.mark.parametrize("changed", [{"job": "rebuild"}, {"last_day": date(2026, 3, 1)}, {"outcome": "interrupted"}])
def test_other_runs_publish_no_digest(warehouse: DuckDBWarehouse, path: Path, changed: dict[str, Any]) -> None:
    """A rebuild, a backfill, an interrupted run, and a run with the digest turned off publish nothing."""
    assert publish(warehouse, settings(path), **changed) == []
    assert publish(warehouse, settings(path, AI_USAGE_DIGEST="off")) == []


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ("http://127.0.0.1:9/" + SECRET, "The webhook at 127.0.0.1 did not answer"),
        ("projects/nonsense", "must be the full name of a secret"),
    ],
)
def test_an_unreachable_chat_does_not_fail_the_run(
    warehouse: DuckDBWarehouse, path: Path, webhook: str, expected: str
) -> None:
    """The log has the digest and a warning without the address."""
    (_, _), (level, message) = publish(warehouse, settings(path, AI_USAGE_DIGEST_WEBHOOK=webhook))
    assert level == logging.WARNING
    assert expected in message
    assert SECRET not in message


def test_a_failing_digest_does_not_fail_the_run(path: Path) -> None:
    """A warehouse without views causes a warning."""
    ((level, message),) = publish(DuckDBWarehouse(path), settings(path))
    assert (level, message.startswith("The digest failed")) == (logging.WARNING, True)


# --- on request -------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_sends(
    warehouse: DuckDBWarehouse, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ai-usage digest` prints the digest; `--send` delivers it and exits with 1 when the chat rejects it."""
    warehouse.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(path))
    monkeypatch.setenv("AI_USAGE_NOW", NOW.isoformat())
    assert cli.main(["digest"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("AI tool spend, 2026-11-10 (UTC).\n• 2026-11-10: $310.00")
    assert "ada" not in output
    monkeypatch.setenv("AI_USAGE_DIGEST_PEOPLE", "on")
    assert cli.main(["digest"]) == 0
    assert "ada@example.com: $300.00" in capsys.readouterr().out
    monkeypatch.delenv("AI_USAGE_DIGEST_PEOPLE")
    assert cli.main(["digest", "--send"]) == 2
    with serve_replies(Reply(body=b"ok"), Reply(404, b"no_service")) as chat:
        monkeypatch.setenv("AI_USAGE_DIGEST_WEBHOOK", f"{chat.url}/{SECRET}")
        assert [cli.main(["digest", "--send"]) for _ in range(2)] == [0, 1]
    errors = capsys.readouterr().err
    assert "The webhook or its channel was removed" in errors
    assert SECRET not in errors
