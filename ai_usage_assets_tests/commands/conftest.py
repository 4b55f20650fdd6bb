"""The environment of commands against a simulated company."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets_tests.conftest import NOW


@pytest.fixture
def simulator() -> Simulator:
    """A simulated company."""
    return Simulator(NOW)


@pytest.fixture
def urls(simulator: Simulator) -> Iterator[Urls]:
    """The addresses of its APIs."""
    with simulator.serve() as served:
        yield served


@pytest.fixture
def environment(simulator: Simulator, urls: Urls, tmp_path: Path) -> dict[str, str]:
    """The environment variables of a run against it."""
    return {
        **demo.simulator_environment(simulator, urls),
        "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w" / "ai_usage.duckdb"),
        "AI_USAGE_START_DATE": "2026-11-01",
    }
