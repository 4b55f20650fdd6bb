"""What a terminal shows of the books."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal

from rich.console import Console

from ai_usage_assets.commands import screens


def test_less_than_half_a_cent_has_no_sign() -> None:
    """Amounts that round to nothing are nothing, whatever side they come from; others keep their sign."""
    lines = [
        {"cost_center": center, "line_type": "charge", "amount_usd": Decimal(amount)}
        for center, amount in (("CC-1", "-0.001"), ("CC-2", "-1234.5"))
    ]
    close = {
        "month": date(2026, 10, 1), "charges_usd": Decimal("-1234.501"), "corrections_usd": Decimal("-0.004"),
        "mapping_snapshot": None,
    }  # fmt: skip
    shown = io.StringIO()
    screens.journal(close, lines, Console(file=shown, width=80))
    assert "-0.00" not in shown.getvalue()
    assert shown.getvalue().count(" 0.00 ") == 2
    assert "-1,234.50" in shown.getvalue()
