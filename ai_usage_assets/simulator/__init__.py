"""A company and its three vendors on this machine: for the demo, for tests, and for trying things out.

Belongs here: one seeded ledger, and the APIs that show it on loopback. Does not: anything a run depends on. The APIs
are held against the vendors' own clients by tests; what they answer can be made to go wrong by switches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from ai_usage_assets.simulator.anthropic import AnthropicAPI, AnthropicSwitches
from ai_usage_assets.simulator.cursor import CursorAPI, CursorSwitches
from ai_usage_assets.simulator.ledger import Amendment, Ledger
from ai_usage_assets.simulator.organization import build
from ai_usage_assets.simulator.server import Faults, Request, serving
from ai_usage_assets.simulator.sheets import SheetsAPI, SheetsSwitches

Vendor = Literal["anthropic", "cursor", "sheets"]


@dataclass(frozen=True)
class Urls:
    """Where the vendors can be asked."""

    anthropic: str
    cursor: str
    sheets: str


@dataclass
class Switches:
    """How the vendors differ from the ordinary, or go wrong; all can be changed while they serve."""

    anthropic: AnthropicSwitches = field(default_factory=AnthropicSwitches)
    cursor: CursorSwitches = field(default_factory=CursorSwitches)
    sheets: SheetsSwitches = field(default_factory=SheetsSwitches)
    faults: Faults = field(default_factory=Faults)


class Simulator:
    """One company. `ledger` is the truth; `requests` is what was asked, in order."""

    ANTHROPIC_KEY = "sk-ant-admin01-simulated-organisation-no-secret"
    CURSOR_KEY = "crsr_simulatedteamnosecret0000000000000000"
    SHEET_ID = "simulated-mapping-sheet"

    def __init__(self, now: datetime, *, seed: int = 7, people: int = 60, switches: Switches | None = None) -> None:
        self.switches = switches or Switches()
        self.organisation = build(seed, people)
        self.ledger = Ledger(seed, self.organisation, now)
        self.requests: list[tuple[Vendor, Request]] = []
        clock = lambda: self.ledger.now  # noqa: E731 - the instant may be moved while serving
        self._anthropic = AnthropicAPI(self.ledger, self.ANTHROPIC_KEY, self.switches.anthropic, clock)
        self._cursor = CursorAPI(self.ledger, self.CURSOR_KEY, self.switches.cursor, clock)
        self._sheets = SheetsAPI(self.organisation, self.SHEET_ID, self.switches.sheets)

    @property
    def now(self) -> datetime:
        """The simulated instant; days after it have not happened."""
        return self.ledger.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.ledger.now = moment
        self._anthropic.forget()

    @contextmanager
    def serve(self, ports: Sequence[int] = (0, 0, 0)) -> Iterator[Urls]:
        """Serves all three on 127.0.0.1 until the end of the block; port 0 takes a free one."""
        apis: tuple[tuple[Vendor, AnthropicAPI | CursorAPI | SheetsAPI], ...] = (
            ("anthropic", self._anthropic),
            ("cursor", self._cursor),
            ("sheets", self._sheets),
        )
        with ExitStack() as stack:
            urls = {
                vendor: stack.enter_context(
                    serving(
                        vendor,
                        api.handle,
                        self.switches.faults,
                        port,
                        lambda request, vendor=vendor: self.requests.append((vendor, request)),  # type: ignore[misc]
                    )
                )
                for (vendor, api), port in zip(apis, ports, strict=True)
            }
            yield Urls(**urls)

    def revise(self, day: Any, factor: Decimal) -> None:
        """Both vendors restate the money of a day by a factor."""
        self.ledger.revise(day, factor)
        self._anthropic.forget()

    def amend(self, day: date, amendment: Amendment) -> None:
        """Anthropic knows better what was used on a day, from what it said at first: later, of another, not at all."""
        self.ledger.amendments[day] = amendment
        self.ledger.forget()
        self._anthropic.forget()

    def remove_person(self, email: str, on: Any, *, forgotten: bool = False) -> None:
        """The person leaves on that day: vendors strike them from directories, and Cursor from history.

        With the account deleted as well, Anthropic has forgotten the address.
        """
        forgotten = forgotten or self.organisation.person(email).forgotten
        self.organisation.replace_person(email, left=on, forgotten=forgotten)
        self.ledger.forget()
        self._anthropic.forget()

    @property
    def removed_emails(self) -> set[str]:
        """People who are gone now, and whom Cursor no longer names in its history."""
        return {p.email for p in self.organisation.people if not p.is_here(self.now.date())}

    def sheet(self, tab: str) -> list[list[Any]]:
        """The cells of a tab, header first."""
        return self.organisation.tabs[tab]

    def set_sheet(self, tab: str, rows: list[list[Any]] | None) -> None:
        """Replaces a tab; None removes it."""
        if rows is None:
            self.organisation.tabs.pop(tab, None)
        else:
            self.organisation.tabs[tab] = rows
