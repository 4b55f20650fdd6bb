"""The bar chart that several sections share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from markupsafe import Markup

from ai_usage_assets.finance.amounts import sum_known
from ai_usage_assets.finance.report import charts
from ai_usage_assets.registry import source_label

_MAX_BARS = 15


def draw_vendor_bars(
    name: str,
    subject: str,
    items: Sequence[tuple[str, Mapping[str, Decimal | None]]],
    vendors: Sequence[str],
) -> Markup:
    """Draws a bar of each vendor's amounts for the largest items, and one bar for all others. `items` are in order."""
    shown, others = (items, []) if len(items) <= _MAX_BARS + 1 else (items[:_MAX_BARS], items[_MAX_BARS:])
    labels = [label for label, _ in shown]
    series = {vendor: [amounts.get(vendor) for _, amounts in shown] for vendor in vendors}
    if others:
        labels.append(f"{len(others)} others")
        for vendor in vendors:
            series[vendor].append(sum_known(amounts.get(vendor) for _, amounts in others))
    return charts.draw_bars(
        name,
        f"Bar chart: {subject}, the largest first. The table below has the exact values.",
        labels,
        {source_label(vendor): amounts for vendor, amounts in series.items()},
    )
