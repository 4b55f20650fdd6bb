"""The raw tables: each row is a record of a source, byte for byte, with its envelope."""

from __future__ import annotations

from ai_usage_assets.warehouse.tables import Column, Table


def raw_table(name: str, description: str, *, snapshot: bool = False) -> Table:
    """A raw table with one partition per day.

    The day of a `snapshot` (a directory) is the day on which it was read; otherwise it is the day of the usage.
    """
    day = (
        Column("snapshot_date", "DATE", "UTC day on which the directory was read.", required=True)
        if snapshot
        else Column("usage_date", "DATE", "UTC day the record belongs to.", required=True)
    )
    return Table(
        name=name,
        layer="raw",
        description=description,
        columns=(day, *_ENVELOPE),
        partition_by=day.name,
    )


_ENVELOPE = (
    Column(
        "record_no",
        "INT64",
        "Number of the record within its day, from 1. Records are sorted by their bytes, so the number does not depend "
        "on the order of pages. Two equal records are two rows.",
        required=True,
    ),
    Column("payload", "STRING", "The record as the vendor sent it, byte for byte.", required=True),
    Column(
        "carried_email",
        "STRING",
        "E-mail of this record in an earlier extract, when the vendor no longer sends it.",
    ),
    Column(
        "fetched_at",
        "TIMESTAMP",
        "Time at which this content of the day was first received; unchanged content keeps it.",
        required=True,
    ),
)

# Rows of the sheet have their position and the reason of a rejection instead of the envelope.
RAW_MAPPING_SHEET = Table(
    name="raw_mapping_sheet",
    layer="raw",
    description="Every accepted version of every tab of the mapping sheet, row by row; rows never change. Rejected "
    "rows are stored with the reason. A cell that looks like a secret is not stored.",
    columns=(
        Column("snapshot_date", "DATE", "UTC day of the first read of this version.", required=True),
        Column("tab", "STRING", "Name of the tab.", required=True),
        Column("snapshot_id", "STRING", "Fingerprint of the content of the tab.", required=True),
        Column("read_at", "TIMESTAMP", "Time of the first read of this version.", required=True),
        Column("row_no", "INT64", "Row number in the sheet; 0 for the version itself.", required=True),
        Column("payload", "STRING", "The row as a JSON object of normalized text.", required=True),
        Column("reject_reason", "STRING", "Reason of the rejection; NULL for a valid row."),
    ),
    partition_by="snapshot_date",
    cluster_by=("tab",),
)
