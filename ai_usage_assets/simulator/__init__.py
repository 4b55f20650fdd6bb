"""A simulated company with the APIs of its vendors on loopback, for the demo and the tests.

One seeded ledger is the truth that the APIs serve. Tests validate the APIs with the vendors' official clients. Fault
options make them fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from ai_usage_assets.simulator.anthropic.api import AnthropicAPI
from ai_usage_assets.simulator.anthropic.base import AnthropicFaultOptions
from ai_usage_assets.simulator.cursor.api import CursorAPI
from ai_usage_assets.simulator.cursor.base import CursorFaultOptions
from ai_usage_assets.simulator.ledger import Amendment, Ledger
from ai_usage_assets.simulator.organization import build_organization
from ai_usage_assets.simulator.server import Faults, Request, serve_api
from ai_usage_assets.simulator.sheet_tabs import build_tabs
from ai_usage_assets.simulator.sheets import SheetsAPI, SheetsFaultOptions

Vendor = Literal["anthropic", "cursor", "sheets"]


@dataclass(frozen=True)
class Urls:
    """The base URLs of the simulated APIs."""

    anthropic: str
    cursor: str
    sheets: str


@dataclass
class FaultOptions:
    """Deviations and faults of the simulated APIs. They can be changed while the APIs serve."""

    anthropic: AnthropicFaultOptions = field(default_factory=AnthropicFaultOptions)
    cursor: CursorFaultOptions = field(default_factory=CursorFaultOptions)
    sheets: SheetsFaultOptions = field(default_factory=SheetsFaultOptions)
    faults: Faults = field(default_factory=Faults)


class Simulator:
    """A simulated company. `ledger` is the truth that the APIs serve; `requests` lists all requests in order."""

    ANTHROPIC_KEY = "sk-ant-admin01-simulated-organization-no-secret"
    CURSOR_KEY = "crsr_simulatedteamnosecret0000000000000000"
    SHEET_ID = "simulated-mapping-sheet"

    def __init__(
        self, now: datetime, *, seed: int = 7, people: int = 60, fault_options: FaultOptions | None = None
    ) -> None:
        self.fault_options = fault_options or FaultOptions()
        self.organization = build_organization(seed, people)
        self.organization.tabs = build_tabs(self.organization)
        self.ledger = Ledger(seed, self.organization, now)
        self.requests: list[tuple[Vendor, Request]] = []
        clock = lambda: self.ledger.now  # noqa: E731 - tests move the clock while the APIs serve
        self._anthropic = AnthropicAPI(self.ledger, self.ANTHROPIC_KEY, self.fault_options.anthropic, clock)
        self._cursor = CursorAPI(self.ledger, self.CURSOR_KEY, self.fault_options.cursor, clock)
        self._sheets = SheetsAPI(self.organization, self.SHEET_ID, self.fault_options.sheets)

    @property
    def now(self) -> datetime:
        """The simulated instant. Nothing after it has happened."""
        return self.ledger.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.ledger.now = moment
        self._anthropic.clear_cache()

    @contextmanager
    def serve(self, ports: Sequence[int] = (0, 0, 0)) -> Iterator[Urls]:
        """Serves all APIs on 127.0.0.1 until the end of the block. Port 0 selects a free port."""
        apis: tuple[tuple[Vendor, AnthropicAPI | CursorAPI | SheetsAPI], ...] = (
            ("anthropic", self._anthropic),
            ("cursor", self._cursor),
            ("sheets", self._sheets),
        )
        with ExitStack() as stack:
            urls = {
                vendor: stack.enter_context(
                    serve_api(
                        vendor,
                        api.handle,
                        self.fault_options.faults,
                        port,
                        lambda request, vendor=vendor: self.requests.append((vendor, request)),  # type: ignore[misc]
                    )
                )
                for (vendor, api), port in zip(apis, ports, strict=True)
            }
            yield Urls(**urls)

    def revise(self, day: Any, factor: Decimal) -> None:
        """Makes both vendors restate the money of a day by a factor."""
        self.ledger.revise(day, factor)
        self._anthropic.clear_cache()

    def amend(self, day: date, amendment: Amendment) -> None:
        """Makes Anthropic change the usage of a day: later, attributed to another actor, or removed."""
        self.ledger.amendments[day] = amendment
        self.ledger.clear_cache()
        self._anthropic.clear_cache()

    def remove_person(self, email: str, on: Any, *, account_deleted: bool = False) -> None:
        """Removes a person on a day: vendors delete them from directories, and Cursor removes the e-mail from history.

        With `account_deleted`, Anthropic removes the address too.
        """
        account_deleted = account_deleted or self.organization.person(email).account_deleted
        self.organization.replace_person(email, left=on, account_deleted=account_deleted)
        self.ledger.clear_cache()
        self._anthropic.clear_cache()

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
