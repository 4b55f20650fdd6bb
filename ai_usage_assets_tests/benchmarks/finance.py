"""`make bench BENCH=finance`: accuracy and run time of the finance views on the simulated year.

Each section receives the warehouse of the year and prints its own table. Expected values are in `kpis/`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.year import simulated_year

Section = Callable[[DuckDBWarehouse, Console], None]

_SCORES = """
SELECT
  scope, origin_day,
  COUNT(*) AS forecasts,
  AVG(ABS(error_ratio)) AS mean_error,
  AVG(ABS(naive_error_ratio)) AS mean_naive_error,
  AVG(error_ratio) AS bias,
  COUNTIF(is_better) AS better,
  COUNTIF(is_within) AS within,
  COUNTIF(is_within IS NOT NULL) AS bounded
FROM ai_usage.kpi_forecast_backtest
WHERE scope IN ('total', 'cost_center') AND error_ratio IS NOT NULL AND naive_error_ratio IS NOT NULL
GROUP BY scope, origin_day
ORDER BY scope DESC, origin_day
"""


def forecast(warehouse: DuckDBWarehouse, terminal: Console) -> None:
    """Prints the errors of forecast and linear extrapolation, and the share of actuals within the bounds."""
    table = Table(title="Mean absolute error of the forecast over the past months", title_justify="left")
    for heading in ("", "day", "months", "forecast", "linear extrapolation", "bias", "closer", "within bounds"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in warehouse.rows(_SCORES):
        table.add_row(
            "total" if row["scope"] == "total" else "by cost center",
            str(row["origin_day"]),
            str(row["forecasts"]),
            f"{row['mean_error']:.1%}",
            f"{row['mean_naive_error']:.1%}",
            f"{row['bias']:+.1%}",
            f"{Decimal(row['better']) / row['forecasts']:.0%}",
            f"{Decimal(row['within']) / row['bounded']:.0%} of {row['bounded']}" if row["bounded"] else "-",
        )
    terminal.print(table)


def seconds(warehouse: DuckDBWarehouse, terminal: Console) -> None:
    """Prints the time to read each finance view."""
    table = Table(title="Run time of the finance views on the year", title_justify="left")
    for heading in ("view", "rows", "seconds"):
        table.add_column(heading, justify="left" if heading == "view" else "right")
    for view in catalog.models():
        if view.layer in {"kpi", "ops"}:
            started = time.perf_counter()
            row_count = warehouse.query(f"SELECT {', '.join(view.column_names)} FROM ai_usage.{view.name}").num_rows
            table.add_row(view.name, f"{row_count:,}", f"{time.perf_counter() - started:.1f}")
    terminal.print(table)


SECTIONS: tuple[Section, ...] = (forecast, seconds)


def print_tables(terminal: Console) -> None:
    """Prints every section for one year."""
    with TemporaryDirectory() as folder:
        warehouse = simulated_year(Path(folder, "year.duckdb"))
        for section in SECTIONS:
            section(warehouse, terminal)
        warehouse.close()
