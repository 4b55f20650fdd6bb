"""What a restated day of the bill was made of, before and after: the parts whose dollars changed.

Belongs here: by which dimensions a day's money is taken apart, and what is kept of it. Does not: when a day counts as
restated (`landing`), or how an engine replaces it (`warehouses/`), which is where both looks are taken: raw keeps the
newest version of a day only, so the old one can be looked at just until it is replaced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from ai_usage_assets.warehouse.base import Row
from ai_usage_assets.warehouse.ops_tables import OPS_RESTATEMENT_PARTS

# Dollars by cost basis, dimension and value.
Money = dict[tuple[str, str, str | None], Decimal]

# The typed views that facts are made from, so that a part is what the bill says. Days are written in: neither engine
# looks at another than those.
_CELLS = {
    "raw_anthropic_cost": """
SELECT usage_date, 'billed' AS cost_basis, model, api_key_id, workspace_id, principal_id, SUM(amount_usd) AS amount_usd
FROM ai_usage.stg_anthropic_cost
WHERE usage_date IN ({days})
GROUP BY usage_date, model, api_key_id, workspace_id, principal_id
""",
    "raw_cursor_usage_events": """
SELECT
  usage_date, cost_basis, model,
  COALESCE(automation_id, service_account_id, cloud_agent_id, user_email) AS principal_id,
  SUM(amount_usd) AS amount_usd
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date IN ({days})
GROUP BY usage_date, cost_basis, model, COALESCE(automation_id, service_account_id, cloud_agent_id, user_email)
""",
}
_DIMENSIONS = {"model": "model", "api_key_id": "api_key", "workspace_id": "workspace", "principal_id": "principal"}
TOTAL = "total"


def look(restated: Iterable[Row], rows: Callable[[str], list[Row]]) -> dict[tuple[str, date], Money]:
    """What the restated days of the bill are made of now, by table and day; `rows` asks the warehouse."""
    days: dict[str, set[date]] = defaultdict(set)
    for row in restated:
        if row["asset"] in _CELLS and None not in (row.get("old_amount_usd"), row.get("new_amount_usd")):
            days[row["asset"]].add(row["usage_date"])
    found: dict[tuple[str, date], Money] = {
        (asset, day): defaultdict(Decimal) for asset, theirs in days.items() for day in theirs
    }
    for asset, theirs in days.items():
        for cell in rows(_CELLS[asset].format(days=", ".join(f"DATE '{day}'" for day in sorted(theirs)))):
            money = found[asset, cell["usage_date"]]
            money[cell["cost_basis"], TOTAL, None] += cell["amount_usd"]
            for column, dimension in _DIMENSIONS.items():
                if column in cell:
                    money[cell["cost_basis"], dimension, cell[column]] += cell["amount_usd"]
    return found


def parts(
    restated: Sequence[Row], before: Mapping[tuple[str, date], Money], after: Mapping[tuple[str, date], Money]
) -> list[Row]:
    """Rows of OPS_RESTATEMENT_PARTS: for each restated day its totals, and every value whose dollars changed.

    A day that was not what its log says, before or after, has none: parts that do not add up explain nothing.
    """
    return [part for row in restated for part in _parts(row, before, after)]


def _parts(row: Row, before: Mapping[tuple[str, date], Money], after: Mapping[tuple[str, date], Money]) -> list[Row]:
    key = (row["asset"], row["usage_date"])
    if key not in before or key not in after:
        return []
    old, new = before[key], after[key]
    if (_total(old), _total(new)) != (row["old_amount_usd"], row["new_amount_usd"]):
        return []
    changed = [of for of in old | new if of[1] != TOTAL and old.get(of) != new.get(of)]
    if not changed:
        return []
    totals = [of for of in old | new if of[1] == TOTAL]
    envelope = {name: row[name] for name in OPS_RESTATEMENT_PARTS.column_names if name in row}
    return [
        {
            **envelope, "cost_basis": of[0], "dimension": of[1], "dimension_value": of[2],
            "old_amount_usd": old.get(of), "new_amount_usd": new.get(of),
        }
        for of in sorted(totals + changed, key=lambda of: (of[0], of[1], of[2] or ""))
    ]  # fmt: skip


def _total(money: Money) -> Decimal:
    return sum((usd for (_, dimension, _), usd in money.items() if dimension == TOTAL), Decimal(0))
