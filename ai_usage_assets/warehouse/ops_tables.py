"""The `ops_*` tables, which the pipeline itself writes: runs, the day log, check results, restatements, closes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict

from ai_usage_assets.warehouse.tables import Column, Table

OPS_RUNS = Table(
    name="ops_runs",
    layer="ops",
    description="One row per run of a job.",
    columns=(
        Column("run_id", "STRING", "Dagster's id of the run.", required=True),
        Column("job", "STRING", "Name of the job.", required=True),
        Column("started_at", "TIMESTAMP", "When it began.", required=True),
        Column("finished_at", "TIMESTAMP", "When it ended; NULL while it runs, or if it was killed."),
        Column("first_day", "DATE", "First UTC day of the run."),
        Column("last_day", "DATE", "Last UTC day of the run."),
        Column(
            "outcome",
            "STRING",
            "running, success, failed or interrupted: ended from outside; of one that was killed the next run says so.",
            required=True,
        ),
        Column("version", "STRING", "Version of this project.", required=True),
        Column("execution", "STRING", "Execution of the Cloud Run job; NULL elsewhere, as are the three after it."),
        Column("task_index", "INT64", "Which of the execution's tasks this was, from 0."),
        Column("task_count", "INT64", "How many tasks the execution has."),
        Column("attempt", "INT64", "How often the task had been tried before."),
        Column("image", "STRING", "Container image; NULL outside a container."),
        Column(
            "secret_versions",
            "STRING",
            "JSON object: which version of each secret was read from Secret Manager, by its name. NULL for none.",
        ),
        Column("days", "INT64", "UTC days the run was for."),
        Column("seconds", "NUMERIC", "From its beginning to its end."),
        Column(
            "landed_records",
            "INT64",
            "Vendors' records in the days of raw tables that the run replaced; a day that came as it was held is none.",
        ),
        Column("landed_bytes", "INT64", "Bytes of these records, as the vendors sent them."),
        Column("landed_usd", "NUMERIC", "Dollars of the loaded bill days, of all vendors."),
    ),
)

OPS_ASSET_DAYS = Table(
    name="ops_asset_days",
    layer="ops",
    description="For each raw table and day: how the last attempt to pull it ended and what is held. This, not "
    "Dagster's event log, says whether a day is there.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Name of the vendor, or sheet.", required=True),
        Column("usage_date", "DATE", "UTC day pulled; for snapshots the day of the read.", required=True),
        Column("is_daily", "BOOL", "Whether there is one for every day; a snapshot is of the day of the read only."),
        Column(
            "status",
            "STRING",
            "How the last attempt ended: complete, incomplete (the vendor's data does not reach the end of the day "
            "yet), failed (what was held before is kept), not_exposed (this key or plan may not see it), "
            "not_configured (no key).",
            required=True,
        ),
        Column("message", "STRING", "Why, and what to do; NULL when complete."),
        Column("attempted_at", "TIMESTAMP", "When it was last tried.", required=True),
        Column("completed_at", "TIMESTAMP", "When a pull of this day was last complete."),
        Column("landed_at", "TIMESTAMP", "When the content held was first pulled."),
        Column("records", "INT64", "Records held."),
        Column("expected_records", "INT64", "Records the vendor said there are; NULL where it does not say."),
        Column("amount_usd", "NUMERIC", "Dollars in the records held, NULL where they carry none."),
        Column("pages", "INT64", "Pages of the pull that brought them."),
        Column("watermark", "TIMESTAMP", "How far the vendor said its data reaches."),
        Column("content_digest", "STRING", "SHA-256 of the records held."),
        Column("bytes", "INT64", "Bytes of the records held; NULL for a tab of the sheet."),
        Column("landed_run_id", "STRING", "Run that brought the content held; NULL for a tab of the sheet."),
        Column("run_id", "STRING", "Run that made the last attempt.", required=True),
    ),
)


class DayLogEntry(TypedDict):
    """A row of OPS_ASSET_DAYS for one raw table and day. `amount_usd` is in dollars."""

    asset: str
    vendor: str
    usage_date: date
    is_daily: bool
    status: str
    message: str | None
    attempted_at: datetime
    completed_at: datetime | None
    landed_at: datetime | None
    records: int | None
    expected_records: int | None
    amount_usd: Decimal | None
    pages: int | None
    watermark: datetime | None
    content_digest: str | None
    bytes: int | None
    landed_run_id: str | None
    run_id: str


OPS_CHECK_RESULTS = Table(
    name="ops_check_results",
    layer="ops",
    description="One row per asset check and run.",
    columns=(
        Column("run_id", "STRING", "Dagster's id of the run.", required=True),
        Column("checked_at", "TIMESTAMP", "When it was checked.", required=True),
        Column("asset", "STRING", "Asset that was checked.", required=True),
        Column("check_name", "STRING", "Name of the check.", required=True),
        Column("passed", "BOOL", "Whether it held.", required=True),
        Column("severity", "STRING", "WARN or ERROR.", required=True),
        Column("blocking", "BOOL", "Whether what is built from the asset waits until it holds.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars the finding touches, where it touches money."),
        Column("message", "STRING", "What is wrong, how much it touches, what to do.", required=True),
        Column(
            "scope",
            "STRING",
            "What it looks at: days (those of the run), until (what there is up to the last of them), now (what there "
            "is, whichever they are).",
        ),
    ),
)

OPS_RESTATEMENTS = Table(
    name="ops_restatements",
    layer="ops",
    description="One row for each time a vendor changed a day that was already held whole: what it was and became.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Name of the vendor.", required=True),
        Column("usage_date", "DATE", "UTC day that changed.", required=True),
        Column("restated_at", "TIMESTAMP", "When the new content was pulled.", required=True),
        Column("run_id", "STRING", "Run that pulled it.", required=True),
        Column("old_records", "INT64", "Records before."),
        Column("new_records", "INT64", "Records now."),
        Column("old_amount_usd", "NUMERIC", "Dollars before; NULL where the records carry none."),
        Column("new_amount_usd", "NUMERIC", "Dollars now."),
    ),
)

OPS_RESTATEMENT_PARTS = Table(
    name="ops_restatement_parts",
    layer="ops",
    description="What a restated day of the bill was made of: its total, and every model, key, workspace and principal "
    "whose dollars changed. The changes of one dimension add up to that of the total. A day restated before this was "
    "kept, or that was not what its log says, has none.",
    columns=(
        Column("asset", "STRING", "Raw table.", required=True),
        Column("vendor", "STRING", "Name of the vendor.", required=True),
        Column("usage_date", "DATE", "UTC day that changed.", required=True),
        Column("restated_at", "TIMESTAMP", "When the new content was pulled.", required=True),
        Column("run_id", "STRING", "Run that pulled it.", required=True),
        Column("cost_basis", "STRING", "billed or included.", required=True),
        Column("dimension", "STRING", "total, model, api_key, workspace or principal.", required=True),
        Column("dimension_value", "STRING", "Which one, by the vendor's id or name; NULL for the total, and for none."),
        Column("old_amount_usd", "NUMERIC", "Dollars before; NULL when it was not there."),
        Column("new_amount_usd", "NUMERIC", "Dollars now; NULL when it is no longer there."),
    ),
)

OPS_MONTH_CLOSES = Table(
    name="ops_month_closes",
    layer="ops",
    description="One row per closed month, written once and last: lines and totals without it are of an attempt that "
    "did not end, and count for nothing.",
    columns=(
        Column("month", "DATE", "First day of the month that is closed.", required=True),
        Column("close_id", "STRING", "Fingerprint of everything that was frozen.", required=True),
        Column("closed_at", "TIMESTAMP", "When it was closed.", required=True),
        Column("as_of_date", "DATE", "UTC day on which the warehouse had last been brought up to date.", required=True),
        Column(
            "mapping_snapshot",
            "STRING",
            "Which versions of the sheet's tabs said who pays: the first characters of their snapshot_id in "
            "raw_mapping_sheet. NULL where there was no line.",
        ),
        Column("charges_usd", "NUMERIC", "Dollars of the month's own spend.", required=True),
        Column("corrections_usd", "NUMERIC", "Dollars by which earlier months were corrected.", required=True),
        Column("lines", "INT64", "Journal lines.", required=True),
        Column("version", "STRING", "Version of this project that closed it.", required=True),
    ),
)

OPS_CLOSE_TOTALS = Table(
    name="ops_close_totals",
    layer="ops",
    description="What the journal of a closed month came from: the vendors' totals before attribution, to which its "
    "charges add up to the last digit.",
    columns=(
        Column("close_id", "STRING", "Close it belongs to.", required=True),
        Column("month", "DATE", "First day of the month.", required=True),
        Column("vendor", "STRING", "Name of the vendor.", required=True),
        Column("cost_basis", "STRING", "billed or seat.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars.", required=True),
        Column(
            "content_digest",
            "STRING",
            "SHA-256 over the days of the raw tables it comes from, and the digest of the records of each; NULL where "
            "none is held.",
        ),
    ),
)

OPS_JOURNAL_LINES = Table(
    name="ops_journal_lines",
    layer="ops",
    description="The journal of closed months, ready for a ledger; never changed. Only lines whose close_id stands in "
    "ops_month_closes count: kpi_chargeback shows those.",
    columns=(
        Column("close_id", "STRING", "Close it belongs to.", required=True),
        Column("line_id", "STRING", "Number of the line: AI, the posting month, and a count from 1.", required=True),
        Column("posting_month", "DATE", "First day of the month it is posted in.", required=True),
        Column("posting_date", "DATE", "Last day of that month.", required=True),
        Column("usage_month", "DATE", "First day of the month in which the money was spent.", required=True),
        Column(
            "line_type", "STRING", "charge (the month's own spend) or correction (of a closed month).", required=True
        ),
        Column("reason", "STRING", "Why a correction is due, as in kpi_chargeback; NULL for a charge."),
        Column("vendor", "STRING", "Name of the vendor.", required=True),
        Column("cost_basis", "STRING", "billed or seat; included usage is no spend, and has no line.", required=True),
        Column("product", "STRING", "Product surface, or seat for seats."),
        Column("team", "STRING", "Team; NULL when nobody is named."),
        Column("cost_center", "STRING", "Cost center; NULL = unallocated."),
        Column(
            "account_key",
            "STRING",
            "Vendor and cost basis in one: what a ledger's account is chosen by.",
            required=True,
        ),
        Column("currency", "STRING", "USD.", required=True),
        Column("amount_usd", "NUMERIC", "Dollars, exact; negative where money is given back.", required=True),
        Column(
            "ledger_usd",
            "NUMERIC",
            "The same rounded to two decimals: the lines of one vendor, cost basis and usage month add up to their "
            "exact sum, rounded once.",
            required=True,
        ),
        Column("description", "STRING", "What it is, in words.", required=True),
    ),
)

OPS_TABLES = (
    OPS_RUNS,
    OPS_ASSET_DAYS,
    OPS_CHECK_RESULTS,
    OPS_RESTATEMENTS,
    OPS_RESTATEMENT_PARTS,
    OPS_MONTH_CLOSES,
    OPS_CLOSE_TOTALS,
    OPS_JOURNAL_LINES,
)
