"""The tables of `ai-usage close`."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import Console

from ai_usage_assets.commands.close_tables import journal_table


def test_amounts_below_half_a_cent_have_no_sign() -> None:
    """An amount that rounds to zero is 0.00 and never -0.00; other amounts keep their sign."""
    # Only the fields that the table shows.
    lines: Any = [
        {"line_type": "charge", "cost_center": center, "amount_usd": Decimal(amount)}
        for center, amount in (("CC-1", "-0.001"), ("CC-2", "-1234.5"))
    ]
    close: Any = {
        "month": date(2026, 10, 1), "charges_usd": Decimal("-1234.501"), "corrections_usd": Decimal("-0.004"),
        "mapping_snapshot": None,
    }  # fmt: skip
    output = io.StringIO()
    Console(file=output, width=80).print(journal_table(close, lines))
    assert "-0.00" not in output.getvalue()
    assert output.getvalue().count(" 0.00 ") == 2
    assert "-1,234.50" in output.getvalue()
