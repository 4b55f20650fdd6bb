"""The sections on anomalies, restatements and data quality, and the alarms at the top of the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ai_usage_assets.finance.amounts import sum_known
from ai_usage_assets.finance.report.base import AnomalyRow, BillStatus, CheckStatus, LastRun, Report, ReportMonth
from ai_usage_assets.finance.report.tables import (
    BASIS_LABELS,
    MAX_LISTED_ROWS,
    MAX_OPEN_ROWS,
    Section,
    Table,
    format_status,
    names,
    numbers,
    texts,
)
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import (
    NONE,
    format_count,
    format_date,
    format_date_range,
    format_usd,
)

_MAX_CHECKS_NAMED = 5
# This control is another API that is close by design and not equal.
_APPROXIMATE_CONTROL = "classic_cost_report"

_CONTROL_LABELS = {
    "day_total": "the vendor's daily total",
    "cost_components": "the vendor's totals by component",
    "actor_types": "the vendor's totals by user type",
    "loaded_records": "the loaded records, added up independently",
    _APPROXIMATE_CONTROL: "the vendor's other cost report (close by design, not equal)",
}
_STATUS_LABELS = {
    "complete": "final",
    "provisional": "provisional",
    "incomplete": "incomplete at the vendor",
    "failed": "failed",
    "not_exposed": "not exposed to this key or plan",
    "not_configured": "not configured",
    "not_loaded": "not loaded",
}
_OUTCOME_TEXT = {
    "running": "is still active",
    "success": "succeeded",
    "failed": "failed",
    "interrupted": "was interrupted",
}
_ANOMALY_RULE = (
    "An anomaly is a day on which a cost is at least $25.00, at least twice the usual cost of that weekday in the "
    "previous eight weeks, and far outside its usual variation. Items with too little history are compared with peers."
)


def find_alarms(report: Report) -> Iterator[str]:
    """Finds the reasons why the figures are not reliable yet."""
    if report.last_run and report.last_run["outcome"] in ("failed", "interrupted"):
        yield f"{_describe_run(report.last_run)} Its data may be missing."
    failed = list(dict.fromkeys(_check_name(row) for row in report.checks if row["blocking"] and not row["passed"]))
    if failed:
        more = f", and {len(failed) - _MAX_CHECKS_NAMED} more" if len(failed) > _MAX_CHECKS_NAMED else ""
        names = ", ".join(failed[:_MAX_CHECKS_NAMED])
        yield f"{format_count(len(failed), 'blocking check')} failed: {names}{more}."
    for row in report.controls:
        if row["different_days"] and row["control"] != _APPROXIMATE_CONTROL:
            verb = "differs" if row["different_days"] == 1 else "differ"
            yield (
                f"{format_count(row['different_days'], 'day')} of {source_label(row['vendor'])} {verb} from "
                f"{_CONTROL_LABELS[row['control']]}, by {format_usd(row['difference_usd'])} in total."
            )


def build_anomalies(report: Report, month: ReportMonth) -> Section:
    """The anomalies of the month."""
    title = "Anomalies"
    if not report.anomalies:
        spend = sum_known(total.spend_usd for total in report.vendors.values())
        text = f"No anomaly in {month.range_text}." if spend else f"No spend is loaded for {month.range_text}."
        return Section("anomalies", title, (text, _ANOMALY_RULE))
    listed = report.anomalies[:MAX_LISTED_ROWS]
    count = format_count(len(report.anomalies), "anomaly", "anomalies")
    sentences = [f"{count} in {month.range_text}. {_ANOMALY_RULE}"]
    for basis, text in (("billed", "Billed costs"), ("included", "Costs included in seats")):
        excess = sum_known(row["excess_usd"] for row in report.anomalies if row["cost_basis"] == basis)
        if excess is not None:
            sentences.append(f"{text} were {format_usd(excess)} above the expected amount.")
    if len(listed) < len(report.anomalies):
        sentences.append(f"The {MAX_LISTED_ROWS} largest are listed.")
    rows = [
        (
            format_date(row["usage_date"]),
            _describe_dimension(row, with_people=report.with_people),
            source_label(row["vendor"]),
            BASIS_LABELS[row["cost_basis"]],
            format_usd(row["amount_usd"]),
            format_usd(row["expected_usd"]),
            format_usd(row["excess_usd"]),
            row["top_model"] or NONE,
            row["team"] or NONE,
            format_status(row["amount_usd"], is_provisional=row["is_provisional"]),
        )
        for row in listed
    ]
    columns = (
        *texts("Day"), *names("Subject"), *texts("Vendor", "Basis"), *numbers("Dollars", "Expected", "Above expected"),
        *names("Main model", "Team"), *texts("Status"),
    )  # fmt: skip
    table = Table(f"Anomalies, {month.range_text} (USD)", columns, rows, folded=len(rows) > MAX_OPEN_ROWS)
    return Section("anomalies", title, sentences, (), (table,))


def _describe_dimension(row: AnomalyRow, *, with_people: bool) -> str:
    dimension = row["dimension"]
    if dimension == "person" and not with_people:
        return "A person"
    label = {"api_key": "API key"}.get(dimension, dimension.replace("_", " ").capitalize())
    return f"{label} {row['dimension_name'] or row['dimension_value'] or '(no name)'}"


def build_restatements(report: Report, month: ReportMonth) -> Section:
    """The days that vendors restated."""
    title = "Restatements"
    if not report.restatements:
        text = f"No vendor restated a day of {month.range_text}, or an earlier day in that time."
        return Section("restatements", title, (text,))
    listed = report.restatements[:MAX_LISTED_ROWS]
    sentences = [
        f"{format_count(len(report.restatements), 'restatement')} of days of {month.first:%B %Y}, or of other days "
        "detected in that month."
    ]
    billed = [row["delta_usd"] for row in report.restatements if row["cost_basis"] == "billed"]
    if billed:
        sentences.append(f"They changed billed costs by {format_usd(sum_known(billed))} in total.")
    if len(listed) < len(report.restatements):
        sentences.append(f"The {MAX_LISTED_ROWS} largest are listed.")
    rows = [
        (
            format_date(row["usage_date"]),
            source_label(row["vendor"]),
            BASIS_LABELS[row["cost_basis"]],
            format_usd(row["old_amount_usd"]),
            format_usd(row["new_amount_usd"]),
            format_usd(row["delta_usd"]),
            format_date(row["restated_at"].date()),
            "after the day was final" if row["was_settled"] else f"{format_count(row['days_later'], 'day')} later",
        )
        for row in listed
    ]
    columns = (
        *texts("Day", "Vendor", "Basis"), *numbers("Before", "After", "Change"), *texts("Detected on", "When")
    )  # fmt: skip
    table = Table("Restated days (USD)", columns, rows, folded=len(rows) > MAX_OPEN_ROWS)
    return Section("restatements", title, sentences, (), (table,))


def build_quality(report: Report, month: ReportMonth) -> Section:
    """Whether the data is complete, matches the control totals, and passes the checks."""
    sentences = [*_describe_bill_status(report, month), _describe_checks(report)]
    tables = [*_missing_table(report), *_check_table(report)]
    if report.controls:
        days = sum(row["days"] for row in report.controls)
        different = sum(row["different_days"] for row in report.controls)
        text = f"{days - different:,} of {format_count(days, 'daily total')} match the vendors' control totals."
        sentences.append(f"{text} The table shows the others." if different else text)
        rows = [
            (
                source_label(row["vendor"]),
                _CONTROL_LABELS[row["control"]],
                f"{row['equal_days']:,}",
                f"{row['close_days']:,}",
                f"{row['different_days']:,}",
                format_usd(row["difference_usd"]) if row["different_days"] else NONE,
            )
            for row in report.controls
        ]
        columns = (
            *texts("Vendor", "Control total"),
            *numbers("Days equal", "Days within rounding", "Days that differ", "Difference in total"),
        )
        tables.append(Table(f"Control totals, {month.range_text} (USD)", columns, rows))
    else:
        sentences.append(f"No control total is loaded for {month.range_text}.")
    if report.last_run:
        sentences.append(_describe_run(report.last_run))
    return Section("quality", "Data quality", sentences, (), tables)


def _describe_bill_status(report: Report, month: ReportMonth) -> Iterator[str]:
    by_vendor: dict[str, list[BillStatus]] = defaultdict(list)
    for row in report.bill_status:
        by_vendor[row["vendor"]].append(row)
    for vendor, rows in sorted(by_vendor.items()):
        days = ", ".join(f"{format_count(row['days'], 'day')} {_STATUS_LABELS[row['status']]}" for row in rows)
        yield f"Bill of {source_label(vendor)}, {month.range_text}: {days}."
    if not by_vendor:
        yield f"No bill is loaded for {month.range_text}."


def _missing_table(report: Report) -> Iterator[Table]:
    if report.missing_days:
        rows = [
            (
                format_date(row["usage_date"]),
                source_label(row["vendor"]),
                _STATUS_LABELS[row["status"]],
                row["message"] or NONE,
            )
            for row in report.missing_days
        ]
        columns = texts("Day", "Vendor", "Status", "Message of the last attempt")
        yield Table("Missing days of the bill", columns, rows, folded=len(rows) > MAX_OPEN_ROWS)


def _describe_checks(report: Report) -> str:
    if not report.checks:
        return "No check has run yet."
    # A check with several current results passes only if all of them passed.
    checks = {_check_name(row) for row in report.checks}
    failed = {_check_name(row) for row in report.checks if not row["passed"]}
    last = max(row["checked_at"] for row in report.checks)
    return (
        f"{len(checks) - len(failed)} of {format_count(len(checks), 'check')} passed; the last one ran on "
        f"{format_date(last.date())} at {last:%H:%M} UTC."
    )


def _check_table(report: Report) -> Iterator[Table]:
    failed = [row for row in report.checks if not row["passed"]]
    if failed:
        rows = [
            (
                "Error" if row["blocking"] else "Warning",
                _check_name(row),
                format_usd(row["amount_usd"]),
                row["message"],
                format_date_range(row["first_day"], row["last_day"]) if row["first_day"] and row["last_day"] else "all",
                format_date(row["checked_at"].date()),
            )
            for row in failed
        ]
        columns = (
            *texts("Severity", "Check"),
            *numbers("Affected"),
            *texts("Finding and advice", "Days checked", "Checked on"),
        )
        yield Table("Failed checks and warnings (USD)", columns, rows)


def _check_name(check: CheckStatus) -> str:
    return f"{check['check_name'].replace('_', ' ')} ({check['asset']})"


def _describe_run(run: LastRun) -> str:
    days = ""
    if run["first_day"] and run["last_day"]:
        days = f" for {format_date_range(run['first_day'], run['last_day'])}"
    return (
        f"The last run ({run['job']}, {format_date(run['started_at'].date())}{days}) {_OUTCOME_TEXT[run['outcome']]}."
    )
