"""A company that all tests of this room read, and one for each test that changes something.

Belongs here: fixtures. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import anthropic
import pytest

from ai_usage_assets.simulator import Simulator, Urls

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    """One company for tests that only read."""
    return Simulator(NOW)


@pytest.fixture(scope="session")
def urls(simulator: Simulator) -> Iterator[Urls]:
    """Where it can be asked."""
    with simulator.serve() as served:
        yield served


@pytest.fixture(scope="session")
def sdk(simulator: Simulator, urls: Urls) -> anthropic.Anthropic:
    """The official client, refusing whatever is not as documented."""
    return client_of(simulator, urls)


@pytest.fixture
def own() -> Simulator:
    """A company of the test's own, to be changed."""
    return Simulator(NOW)


@pytest.fixture
def own_urls(own: Simulator) -> Iterator[Urls]:
    """Where the test's own company can be asked."""
    with own.serve() as served:
        yield served


@pytest.fixture
def own_sdk(own: Simulator, own_urls: Urls) -> anthropic.Anthropic:
    """The official client of the test's own company."""
    return client_of(own, own_urls)


def client_of(simulator: Simulator, urls: Urls) -> anthropic.Anthropic:
    """A strict client that tries once."""
    return anthropic.Anthropic(
        api_key=simulator.ANTHROPIC_KEY, base_url=urls.anthropic, _strict_response_validation=True, max_retries=0
    )
