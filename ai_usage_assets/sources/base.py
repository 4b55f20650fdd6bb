"""The types that every source shares: extracts and what they yield, probes, kinds of keys, and the source itself.

Facts about one vendor belong in its own folder; what happens to the records belongs in `landing`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.client import ApiClient, Endpoint, RawResponse
from ai_usage_assets.http.rate_limit import Clock
from ai_usage_assets.http.retry import HttpRetryPolicy
from ai_usage_assets.registry import SourceEntry
from ai_usage_assets.warehouse.tables import Table

if TYPE_CHECKING:
    from ai_usage_assets.checks.base import SourceChecks
    from ai_usage_assets.sources.questions import ApiQuestion


class EndpointNotAvailable(Exception):
    """This key or plan has no access to the endpoint. It is a fact about the contract, not a failure."""


class InvalidRecordError(ValueError):
    """A record or response that cannot be correct. The message gives the reason and quotes no content."""


@dataclass(frozen=True)
class DayBatch:
    """All records of one raw table and day, from one complete extract."""

    table: Table
    day: date
    records: Sequence[bytes]
    pages: int
    # The vendor's own count of the records.
    expected_records: int | None = None
    amount_usd: Decimal | None = None
    # How far the vendor's data reaches.
    watermark: datetime | None = None
    # Why the vendor's data does not cover the whole day yet; None for a complete day.
    incomplete_reason: str | None = None


@dataclass(frozen=True)
class RejectedDay:
    """A day that must not replace the loaded one, because it is not complete or does not add up."""

    table: Table
    day: date
    reason: str


@dataclass(frozen=True)
class EmailIdentity:
    """Recognizes a record after the vendor has removed its e-mail address, so that the address can be carried forward.

    `read` returns the identity of a record and its e-mail. With `one_to_one`, each stored record passes its e-mail on
    once (events); otherwise the identity is the person's id, and every record with that id gets the e-mail.
    """

    read: Callable[[bytes], tuple[Hashable, str | None]]
    one_to_one: bool


@dataclass(frozen=True)
class Extract:
    """One request, or series of requests, to a source, and the raw tables that it fills.

    `fetch(client, days)` yields a DayBatch or a RejectedDay for every table and day. It raises ApiError,
    EndpointNotAvailable or InvalidRecordError.
    """

    name: str
    vendor: str
    tables: tuple[Table, ...]
    fetch: Callable[[Any, DayRange], Iterator[DayBatch | RejectedDay]]
    # How many days one call of `fetch` may cover.
    window_days: int = 1
    # The vendor has only the current state; it belongs to the day on which it is read.
    is_snapshot: bool = False
    # The first day that the vendor still returns; None without a limit.
    earliest_day: Callable[[date], date] | None = None
    # Whether a day that had records can correctly have none later. For all other extracts that is an error.
    may_become_empty: bool = False
    email_identities: dict[str, EmailIdentity] = field(default_factory=dict)
    # Raw table -> the paths of all documented fields; a check reports other fields.
    known_fields: dict[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeResult:
    """The result of an endpoint in words; `next_step` says what to do if it is unusual."""

    text: str
    next_step: str = ""


@dataclass(frozen=True)
class Probe:
    """The smallest request that shows whether the key can use an endpoint.

    `run(client, day)` requests a finished day. It raises the same errors as `Extract.fetch`.
    """

    endpoint: str
    run: Callable[[Any, date], ProbeResult]


@dataclass(frozen=True)
class KeyKind:
    """A kind of key, known by its prefix. `is_rejected`: the vendor's endpoints do not accept it."""

    prefix: str
    description: str
    is_rejected: bool = False


class SourceClient(ABC):
    """The HTTP client of one source. It declares the source's API and adds methods of its own, all of them reads.

    Sends no request and does not read the key before the first use. `pacing=False` ignores the vendor's rate limits,
    for simulated vendors.
    """

    service: ClassVar[str]
    endpoints: ClassVar[Sequence[Endpoint]]
    # Sent with every request.
    headers: ClassVar[Mapping[str, str]] = {}
    # Precedes every path.
    path_prefix = ""
    # Why the vendor rejected the key for its bill; then no other request can succeed. None while the key is valid.
    key_rejection: str | None = None

    def __init__(
        self,
        key: Callable[[], str],
        base_url: str,
        *,
        pacing: bool = True,
        retry_policy: HttpRetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._api = ApiClient(
            self.service,
            base_url,
            authorize=lambda: self.authorize(key()),
            endpoints=self.endpoints,
            headers=self.headers,
            retry_policy=retry_policy,
            pacing=pacing,
            clock=clock,
            hint=self.hint,
        )

    @staticmethod
    @abstractmethod
    def authorize(key: str) -> Mapping[str, str]:
        """The headers that carry the key."""

    @staticmethod
    @abstractmethod
    def hint(status: int, path: str) -> str | None:
        """The advice for a status; None where the general advice is enough."""

    @property
    def server_date(self) -> str | None:
        """The `Date` header of the last response."""
        return self._api.server_date

    def request_once(
        self,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Sends one request without retries and returns any response, errors too. A body makes it a POST."""
        method: Literal["GET", "POST"] = "GET" if body is None else "POST"
        return self._api.request_once(method, self.path_prefix + path, params=params, body=body, headers=headers)

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()


@dataclass(frozen=True)
class Source:
    """Everything the pipeline knows about one vendor. `registry.load_sources` returns all of them.

    `money_tables` maps a cost basis to the raw tables that determine it: a month close requires all of them.
    """

    entry: SourceEntry
    connect: type[SourceClient]
    extracts: tuple[Extract, ...]
    probes: tuple[Probe, ...]
    key_kinds: tuple[KeyKind, ...]
    # What kind of key to use, and where to create it.
    required_key: str
    money_tables: Mapping[str, tuple[Table, ...]]

    @property
    def name(self) -> str:
        """The name in the warehouse."""
        return self.entry.name

    @property
    def label(self) -> str:
        """The name for people."""
        return self.entry.label

    def is_bill(self, extract: Extract) -> bool:
        """Whether the extract fills a table of the bill."""
        return bool({*self.money_tables.get("billed", ())} & {*extract.tables})

    def load_checks(self) -> SourceChecks:
        """The asset checks of this source: `CHECKS` of its module `checks`, imported late because it is heavy."""
        module = import_module(f"ai_usage_assets.sources.{self.name}.checks")
        return cast("SourceChecks", module.CHECKS)

    def load_questions(self) -> tuple[ApiQuestion, ...]:
        """Questions that the API documentation leaves open: `QUESTIONS` of its module `questions`; none without it."""
        name = f"ai_usage_assets.sources.{self.name}.questions"
        return cast("tuple[ApiQuestion, ...]", import_module(name).QUESTIONS) if find_spec(name) else ()
