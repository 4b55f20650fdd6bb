"""The types of settings: which values a variable accepts, and the message for any other value.

A message names the accepted values. It is printed after `NAME is 'value'; `, or after `NAME ` if the value may contain
a credential.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, LiteralString
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ai_usage_assets.settings.addresses import is_https_or_loopback, is_loopback

# The vendors have no data of earlier years, and a clock with a later year is wrong.
_FIRST_YEAR, _LAST_YEAR = 2023, 2100

_MAX_COUNT = 1_000_000_000

# The type of errors whose value may contain a credential.
UNQUOTED = "unquoted"

_ADDRESS: LiteralString = "it takes an address such as https://api.example.com"


def _accepts(values: str) -> WrapValidator:
    """Replaces pydantic's message with the accepted values."""

    def validate(value: object, validate_type: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate_type(value)
        except ValidationError:
            raise ValueError(f"it takes {values}") from None

    return WrapValidator(validate)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _check_day(day: date) -> date:
    if day.year < _FIRST_YEAR:
        raise ValueError(f"the vendors have no data before {_FIRST_YEAR}")
    return day


def _check_instant(instant: datetime) -> datetime:
    if not _FIRST_YEAR <= instant.year < _LAST_YEAR:
        raise ValueError(f"it takes an instant from {_FIRST_YEAR} on, before {_LAST_YEAR}")
    return instant.astimezone(UTC)


def _expand_path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path cannot contain NUL")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home directory") from None


def _parse_address(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        # Raises for a port that is no number.
        _ = parts.port
    except ValueError:
        raise PydanticCustomError(UNQUOTED, f"cannot be read; {_ADDRESS}") from None
    if "@" in address or parts.query or parts.fragment:
        raise PydanticCustomError(UNQUOTED, "contains credentials or a query; it takes only an address")
    return parts


def _check_address(value: str) -> str:
    """Returns the address without a slash at its end."""
    address = value.rstrip("/")
    parts = _parse_address(address)
    host = parts.hostname or ""
    is_readable = (
        parts.port != 0
        and re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", host)
        # A DNS label has at most 63 characters.
        and max(map(len, host.split("."))) < 64
        # urlsplit drops invalid characters.
        and re.fullmatch(r"[!-~]+", address)
    )
    if parts.scheme not in {"http", "https"} or not is_readable:
        raise ValueError(_ADDRESS)
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError("plain http is accepted on loopback only, use https")
    return address


def _check_emulator(value: str) -> str:
    """Returns the URL of an emulator on this machine. Google's tools write it as host and port, without a scheme."""
    url = value if "://" in value else f"http://{value}"
    _parse_address(url)
    if not is_loopback(url):
        raise ValueError("an emulator must run on this machine, such as 127.0.0.1:9050")
    return _check_address(url)


def _check_webhook(value: str) -> str:
    if value.startswith("projects/") or is_https_or_loopback(value):
        return value
    raise ValueError("it takes an https address or the name of a secret (projects/P/secrets/S)")


Warehouse = Annotated[Literal["duckdb", "bigquery"], _accepts("duckdb or bigquery"), BeforeValidator(_lower)]
LogFormat = Annotated[Literal["console", "json"], _accepts("console or json"), BeforeValidator(_lower)]
Switch = Annotated[bool, _accepts("on or off")]
Natural = Annotated[int, Field(ge=0, lt=_MAX_COUNT), _accepts("an integer, 0 or more")]
Positive = Annotated[int, Field(ge=1, lt=_MAX_COUNT), _accepts("an integer, 1 or more")]
# Days are loaded again for this long, so their partitions must not expire earlier.
ExpiryDays = Annotated[int, Field(ge=60, lt=_MAX_COUNT), _accepts("an integer, 60 or more")]
# BigQuery bills at least 10 MB for a query.
ByteLimit = Annotated[int, Field(ge=10 * 1024**2, lt=2**63), _accepts("a number of bytes, 10485760 or more")]
Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,1023}$"),
    _accepts("ASCII letters, digits and underscores, with no digit first"),
]
Day = Annotated[date, _accepts("a day such as 2026-01-31"), AfterValidator(_check_day)]
Instant = Annotated[
    AwareDatetime,
    _accepts("an instant with its time zone, such as 2026-01-31T06:00:00Z"),
    AfterValidator(_check_instant),
]
FilePath = Annotated[Path, AfterValidator(_expand_path)]
Address = Annotated[str, AfterValidator(_check_address)]
Emulator = Annotated[str, AfterValidator(_check_emulator)]
Webhook = Annotated[str, AfterValidator(_check_webhook)]
# Without the driver in the address, SQLAlchemy would choose another one.
PostgresAddress = Annotated[
    str,
    StringConstraints(pattern=r"^postgresql\+psycopg2://"),
    _accepts("an address that begins with postgresql+psycopg2://"),
]
