"""A company that all simulator tests read, and one for each test that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import anthropic
import pytest

from ai_usage_assets.simulator import Simulator, Urls

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """A company for tests that only read."""
    return Simulator(NOW)


@pytest.fixture(scope="session")
def urls(simulator: Simulator) -> Iterator[Urls]:
    """The URLs of its APIs."""
    with simulator.serve() as served:
        yield served


@pytest.fixture(scope="session")
def sdk(simulator: Simulator, urls: Urls) -> anthropic.Anthropic:
    """The official client, with strict response validation."""
    return client_of(simulator, urls)


@pytest.fixture
def own() -> Simulator:
    """A company that the test may change."""
    return Simulator(NOW)


@pytest.fixture
def own_urls(own: Simulator) -> Iterator[Urls]:
    """The URLs of the APIs of `own`."""
    with own.serve() as served:
        yield served


@pytest.fixture
def own_sdk(own: Simulator, own_urls: Urls) -> anthropic.Anthropic:
    """The official client for `own`."""
    return client_of(own, own_urls)


def client_of(simulator: Simulator, urls: Urls) -> anthropic.Anthropic:
    """A client with strict response validation and without retries."""
    return anthropic.Anthropic(
        api_key=simulator.ANTHROPIC_KEY, base_url=urls.anthropic, _strict_response_validation=True, max_retries=0
    )
