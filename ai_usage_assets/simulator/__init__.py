"""A simulated company with the APIs of its vendors on loopback, for the demo and the tests.

One seeded ledger is the truth that the APIs serve. Tests validate the APIs with the vendors' official clients. Fault
options make them fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from ai_usage_assets.simulator.anthropic.base import AnthropicFaultOptions
from ai_usage_assets.simulator.cursor.base import CursorFaultOptions
from ai_usage_assets.simulator.ledger import Amendment, Ledger
from ai_usage_assets.simulator.organization import build_organization
from ai_usage_assets.simulator.server import Faults, Request, SimulatedApi, serve_api
from ai_usage_assets.simulator.sheet_tabs import build_tabs
from ai_usage_assets.simulator.sheets import SheetsAPI, SheetsFaultOptions
from ai_usage_assets.simulator.sources import SHEETS, SIMULATED_SOURCES


@dataclass(frozen=True)
class Urls:
    """The base URLs of the simulated APIs: of each simulated source by its name, and of Google Sheets."""

    sources: Mapping[str, str]
    sheets: str

    @property
    def anthropic(self) -> str:
        """The base URL of the simulated Anthropic API."""
        return self.sources["anthropic"]

    @property
    def cursor(self) -> str:
        """The base URL of the simulated Cursor API."""
        return self.sources["cursor"]


@dataclass
class FaultOptions:
    """Deviations and faults of the simulated APIs. They can be changed while the APIs serve."""

    anthropic: AnthropicFaultOptions = field(default_factory=AnthropicFaultOptions)
    cursor: CursorFaultOptions = field(default_factory=CursorFaultOptions)
    sheets: SheetsFaultOptions = field(default_factory=SheetsFaultOptions)
    faults: Faults = field(default_factory=Faults)


class Simulator:
    """A simulated company. `ledger` is the truth that the APIs serve; `requests` lists all requests in order."""

    ANTHROPIC_KEY = SIMULATED_SOURCES["anthropic"].key
    CURSOR_KEY = SIMULATED_SOURCES["cursor"].key
    SHEET_ID = "simulated-mapping-sheet"

    def __init__(
        self, now: datetime, *, seed: int = 7, people: int = 60, fault_options: FaultOptions | None = None
    ) -> None:
        self.fault_options: FaultOptions = fault_options or FaultOptions()
        self.organization = build_organization(seed, people)
        self.organization.tabs = build_tabs(self.organization)
        charges = [source.charges for source in SIMULATED_SOURCES.values() if source.charges]
        self.ledger: Ledger = Ledger(seed, self.organization, now, other_charges=charges)
        self.requests: list[tuple[str, Request]] = []
        # Name -> API, of each simulated source and of Google Sheets.
        self.apis: dict[str, SimulatedApi] = {
            **{name: source.create(self) for name, source in SIMULATED_SOURCES.items()},
            SHEETS: SheetsAPI(self.organization, self.SHEET_ID, self.fault_options.sheets),
        }

    @property
    def now(self) -> datetime:
        """The simulated instant. Nothing after it has happened."""
        return self.ledger.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.ledger.now = moment
        self._clear_caches()

    @contextmanager
    def serve(self, ports: Mapping[str, int] = MappingProxyType({})) -> Iterator[Urls]:
        """Serves all APIs on 127.0.0.1 until the end of the block, on a free port where `ports` has none or 0."""
        with ExitStack() as stack:
            urls = {
                name: stack.enter_context(
                    serve_api(
                        name,
                        api.handle,
                        self.fault_options.faults,
                        ports.get(name, 0),
                        lambda request, name=name: self.requests.append((name, request)),  # type: ignore[misc]
                    )
                )
                for name, api in self.apis.items()
            }
            sheets = urls.pop(SHEETS)
            yield Urls(urls, sheets)

    def _clear_caches(self) -> None:
        for api in self.apis.values():
            api.clear_cache()

    def revise(self, day: Any, factor: Decimal) -> None:
        """Makes both vendors restate the money of a day by a factor."""
        self.ledger.revise(day, factor)
        self._clear_caches()

    def amend(self, day: date, amendment: Amendment) -> None:
        """Makes Anthropic change the usage of a day: later, attributed to another actor, or removed."""
        self.ledger.amendments[day] = amendment
        self.ledger.clear_cache()
        self._clear_caches()

    def remove_person(self, email: str, on: Any, *, account_deleted: bool = False) -> None:
        """Removes a person on a day: vendors delete them from directories, and Cursor removes the e-mail from history.

        With `account_deleted`, Anthropic removes the address too.
        """
        account_deleted = account_deleted or self.organization.person(email).account_deleted
        self.organization.replace_person(email, left=on, account_deleted=account_deleted)
        self.ledger.clear_cache()
        self._clear_caches()

    @property
    def removed_emails(self) -> set[str]:
        """The e-mail addresses of people who have left, which Cursor no longer returns."""
        return {p.email for p in self.organization.people if not p.is_here(self.now.date())}

    def sheet(self, tab: str) -> list[list[Any]]:
        """The cells of a tab, header row first."""
        return self.organization.tabs[tab]

    def set_sheet(self, tab: str, rows: list[list[Any]] | None) -> None:
        """Replaces a tab; None removes it."""
        if rows is None:
            self.organization.tabs.pop(tab, None)
        else:
            self.organization.tabs[tab] = rows
