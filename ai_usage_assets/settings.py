"""Typed, validated settings from environment variables; no other module reads the environment.

A setting that names a secret keeps the name; `secret_manager` resolves it at the first request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import SOURCES, SourceEntry

T = TypeVar("T")
C = TypeVar("C", bound=str)
N = TypeVar("N", int, None)

# Vendors have no earlier data, and a later clock is wrong.
_FIRST_YEAR, _LAST_YEAR = 2023, 2100

# Days are loaded again for this long, so their partitions must not expire earlier.
MIN_RAW_EXPIRY_DAYS = 60

# Not named like the schema: in DuckDB, `ai_usage.kpi_spend_monthly` would otherwise look for a catalog `ai_usage`.
DEFAULT_DUCKDB_PATH = Path("data/warehouse.duckdb")

SHEETS_URL = "https://sheets.googleapis.com"
# The local end of the tunnel to Metabase.
METABASE_URL = "http://localhost:3000"
METABASE_KEY = "file:data/metabase.key"


class SettingsError(OperatorError):
    """Settings with invalid values; each line of the message names a variable and the values it takes."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # A key may be in the wrong variable.
        super().__init__(redact(message))


@dataclass(frozen=True)
class CloudRun:
    """The Cloud Run execution, task and image of this process; the defaults apply elsewhere."""

    execution: str | None = None
    task_index: int = 0
    task_count: int = 1
    task_attempt: int = 0
    image: str | None = None


@dataclass(frozen=True)
class LogSettings:
    """The format of log lines and their labels.

    Errors in other settings are logged too, so these are read separately and fall back to their defaults.
    """

    log_format: Literal["console", "json"] = "console"
    service: str = "ai-usage"
    # The trace of the request, in the format of Cloud Logging.
    trace: str | None = None
    span: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> LogSettings:
        """Reads the settings; invalid values are ignored."""
        read = _Reader(os.environ if environment is None else environment)
        project = read.optional("GOOGLE_CLOUD_PROJECT")
        parent = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", read.text("TRACEPARENT", ""))
        return cls(
            log_format=read.log_format(),
            service=read.text("CLOUD_RUN_JOB", cls.service),
            trace=f"projects/{project}/traces/{parent[1]}" if project and parent else None,
            span=parent[2] if project and parent else None,
        )


@dataclass(frozen=True)
class SourceSettings:
    """The key of one vendor (a value or a Secret Manager name; None: not configured) and the base URL of its API."""

    key: str | None = field(default=None, repr=False)
    base_url: str = ""


def _default_sources() -> Mapping[str, SourceSettings]:
    return {entry.name: SourceSettings(base_url=entry.default_base_url) for entry in SOURCES}


@dataclass(frozen=True)
class MetabaseSettings:
    """The address and credentials of Metabase. A secret is a value, a Secret Manager name or a file."""

    url: str = METABASE_URL
    # The API key. If it is a name or a file, the first login creates a key and stores it there.
    api_key: str = field(default=METABASE_KEY, repr=False)
    admin_email: str | None = field(default=None, repr=False)
    admin_password: str | None = field(default=None, repr=False)
    # Only for a server that was started with a token of its own; otherwise the server provides it.
    setup_token: str | None = field(default=None, repr=False)
    # The JSON key with which Metabase queries BigQuery.
    service_account: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """All settings, typed. Keys are unresolved: a value or a Secret Manager name."""

    warehouse: Literal["duckdb", "bigquery"] = "duckdb"
    duckdb_path: Path = DEFAULT_DUCKDB_PATH
    project: str | None = None
    dataset: str = "ai_usage"
    sources: Mapping[str, SourceSettings] = field(default_factory=_default_sources, hash=False)
    sheet_id: str | None = None
    sheets_url: str = SHEETS_URL
    start_date: date = date(2026, 1, 1)
    fixed_now: datetime | None = None
    pacing: bool = True
    accept_loss: bool = False
    dagster_home: Path | None = None
    # The shared database of Dagster's run history; the address contains a password.
    dagster_postgres_url: str | None = field(default=None, repr=False)
    log_format: Literal["console", "json"] = "console"
    # Emulators on this machine.
    bigquery_emulator: str | None = None
    secrets_emulator: str | None = None
    # Days after which BigQuery deletes raw partitions; None for never.
    raw_expiry_days: int | None = None
    # Whether a daily run logs a digest, the chat it is posted to, and whether it contains names of people.
    digest: bool = True
    digest_webhook: str | None = field(default=None, repr=False)
    digest_people: bool = False
    # The file that each run writes its report to, if any.
    report_path: Path | None = None
    cloud_run: CloudRun = field(default_factory=CloudRun)
    metabase: MetabaseSettings = field(default_factory=MetabaseSettings)

    def now(self) -> datetime:
        """Returns AI_USAGE_NOW or the current time, in UTC."""
        return self.fixed_now or datetime.now(UTC)

    @property
    def configured_sources(self) -> tuple[SourceEntry, ...]:
        """The vendors that have a key, in the order of the registry."""
        return tuple(entry for entry in SOURCES if self.sources[entry.name].key)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The base URLs of every vendor and of the Sheets API, configured or not."""
        return (*(source.base_url for source in self.sources.values()), self.sheets_url)

    @property
    def base_urls_in_use(self) -> tuple[str, ...]:
        """The base URLs that a run with these settings sends requests to."""
        vendors = (self.sources[entry.name].base_url for entry in self.configured_sources)
        return (*vendors, *([self.sheets_url] if self.sheet_id else []))

    @property
    def is_simulated(self) -> bool:
        """Whether every base URL is on this machine."""
        return all(map(is_loopback, self.base_urls))

    def with_source(self, name: str, **changes: str | None) -> Settings:
        """A copy in which the settings of one vendor (`key`, `base_url`) are changed."""
        changed = replace(self.sources[name], **changes)  # type: ignore[arg-type]
        return replace(self, sources={**self.sources, name: changed})

    @property
    def warehouse_location(self) -> str:
        """The location of the warehouse, for messages."""
        if self.warehouse == "bigquery":
            return f"BigQuery {self.project}.{self.dataset}"
        return str(self.duckdb_path.absolute())

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads all settings. Raises SettingsError with every invalid variable."""
        read = _Reader(os.environ if environment is None else environment)
        settings = cls(
            warehouse=read.choice("AI_USAGE_WAREHOUSE", ("duckdb", "bigquery"), "duckdb"),
            duckdb_path=read.path("AI_USAGE_DUCKDB_PATH") or cls.duckdb_path,
            project=read.optional("GOOGLE_CLOUD_PROJECT"),
            dataset=read.identifier("AI_USAGE_DATASET", "ai_usage"),
            sources={
                entry.name: SourceSettings(
                    read.optional(entry.key_variable), read.url(entry.base_url_variable, entry.default_base_url)
                )
                for entry in SOURCES
            },
            sheet_id=read.optional("AI_USAGE_SHEET_ID"),
            sheets_url=read.url("SHEETS_BASE_URL", SHEETS_URL),
            start_date=read.day("AI_USAGE_START_DATE", date(2026, 1, 1)),
            fixed_now=read.instant("AI_USAGE_NOW"),
            pacing=read.switch("AI_USAGE_PACING", default=True),
            accept_loss=read.switch("AI_USAGE_ACCEPT_LOSS", default=False),
            dagster_home=read.path("DAGSTER_HOME"),
            dagster_postgres_url=read.postgres("DAGSTER_PG_URL"),
            log_format=read.log_format(),
            bigquery_emulator=read.emulator_url("BIGQUERY_EMULATOR_HOST"),
            secrets_emulator=read.emulator_url("SECRET_MANAGER_EMULATOR_HOST"),
            raw_expiry_days=read.count("AI_USAGE_RAW_EXPIRY_DAYS", None, at_least=MIN_RAW_EXPIRY_DAYS),
            digest=read.switch("AI_USAGE_DIGEST", default=True),
            digest_webhook=read.secret_address("AI_USAGE_DIGEST_WEBHOOK"),
            digest_people=read.switch("AI_USAGE_DIGEST_PEOPLE", default=False),
            report_path=read.path("AI_USAGE_REPORT"),
            cloud_run=CloudRun(
                execution=read.optional("CLOUD_RUN_EXECUTION"),
                task_index=read.count("CLOUD_RUN_TASK_INDEX", 0),
                task_count=read.count("CLOUD_RUN_TASK_COUNT", 1, at_least=1),
                task_attempt=read.count("CLOUD_RUN_TASK_ATTEMPT", 0),
                image=read.optional("AI_USAGE_IMAGE"),
            ),
            metabase=MetabaseSettings(
                url=read.url("AI_USAGE_METABASE_URL", METABASE_URL),
                api_key=read.text("AI_USAGE_METABASE_API_KEY", METABASE_KEY),
                admin_email=read.optional("AI_USAGE_METABASE_ADMIN_EMAIL"),
                admin_password=read.optional("AI_USAGE_METABASE_ADMIN_PASSWORD"),
                setup_token=read.optional("AI_USAGE_METABASE_SETUP_TOKEN"),
                service_account=read.optional("AI_USAGE_METABASE_SERVICE_ACCOUNT"),
            ),
        )
        if settings.warehouse == "bigquery" and not settings.project:
            read.problems.append(
                "GOOGLE_CLOUD_PROJECT is not set; AI_USAGE_WAREHOUSE=bigquery needs the project to write to."
            )
        if not settings.pacing and not settings.is_simulated:
            read.problems.append("AI_USAGE_PACING=off is only for simulated vendors on loopback addresses.")
        if read.problems:
            raise SettingsError("\n".join(read.problems))
        return settings


def is_loopback(url: str) -> bool:
    """Returns whether the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_https_or_loopback(address: str) -> bool:
    """Returns whether an address is a valid https URL, or an http URL on this machine."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not address.isascii() or not address.isprintable() or " " in address:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))


class _Reader:
    """Reads typed values from an environment and collects problems. An empty variable counts as unset."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def _report(self, problem: str, default: T) -> T:
        self.problems.append(problem)
        return default

    def optional(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def choice(self, name: str, choices: Sequence[C], default: C) -> C:
        value = self.text(name, default).lower()
        for choice in choices:
            if value == choice:
                return choice
        return self._report(f"{name} is {value!r}; it takes {' or '.join(choices)}.", default)

    def log_format(self) -> Literal["console", "json"]:
        """JSON in a Cloud Run job, whose output Cloud Logging reads; console elsewhere."""
        in_the_cloud = self.optional("CLOUD_RUN_JOB") is not None
        return self.choice("AI_USAGE_LOGS", ("console", "json"), "json" if in_the_cloud else "console")

    def count(self, name: str, default: N, *, at_least: int = 0) -> int | N:
        value = self.optional(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < at_least:
            return self._report(f"{name} is {value!r}; it takes an integer, {at_least} or more.", default)
        return int(value)

    def emulator_url(self, name: str) -> str | None:
        """The address of a server on this machine; it gets no credentials."""
        value = self.optional(name)
        if value is None:
            return None
        url = self.url(name, "http://127.0.0.1:9050") if "://" in value else f"http://{value}"
        if not is_loopback(url):
            return self._report(f"{name} is {value!r}; an emulator must run on this machine.", None)
        return url

    def postgres(self, name: str) -> str | None:
        """The address of a PostgreSQL database. Without the driver in it, SQLAlchemy would choose another one."""
        value = self.optional(name)
        if value is None or value.startswith("postgresql+psycopg2://"):
            return value
        return self._report(f"{name} takes an address that begins with postgresql+psycopg2://.", None)

    def secret_address(self, name: str) -> str | None:
        """A secret address, never quoted, or the name of a secret."""
        value = self.optional(name)
        if value is None or value.startswith("projects/") or is_https_or_loopback(value):
            return value
        return self._report(f"{name} takes an https address or the name of a secret (projects/P/secrets/S).", None)

    def path(self, name: str) -> Path | None:
        value = self.optional(name)
        try:
            path = Path(value).expanduser() if value else None
        except RuntimeError:
            return self._report(f"{name} is {value!r}; there is no such home directory.", None)
        if value and "\0" in value:
            return self._report(f"{name} is {value!r}; a path cannot contain NUL.", None)
        return path

    def identifier(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,1023}", value):
            return self._report(f"{name} is {value!r}; it takes letters, digits and underscores.", default)
        return value

    def url(self, name: str, default: str) -> str:
        value = self.text(name, default).rstrip("/")
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            readable = (
                parts.port != 0
                and re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", host)
                # A DNS label has at most 63 characters.
                and max(map(len, host.split("."))) < 64
                # urlsplit drops invalid characters.
                and re.fullmatch(r"[!-~]+", value)
            )
        except ValueError:
            return self._report(f"{name} cannot be read; it takes an address such as {default}.", default)
        if "@" in value or parts.query or parts.fragment:
            return self._report(f"{name} contains credentials or a query; it takes only an address.", default)
        if parts.scheme not in {"http", "https"} or not readable:
            return self._report(f"{name} is {value!r}; it takes an address such as {default}.", default)
        if parts.scheme == "http" and not is_loopback(value):
            return self._report(f"{name} is {value!r}; plain http is accepted on loopback only, use https.", default)
        return value

    def day(self, name: str, default: date) -> date:
        value = self.optional(name)
        if value is None:
            return default
        try:
            day = date.fromisoformat(value)
        except ValueError:
            return self._report(f"{name} is {value!r}; it takes a day such as 2026-01-31.", default)
        if day.year < _FIRST_YEAR:
            return self._report(f"{name} is {value!r}; the vendors have no data before {_FIRST_YEAR}.", default)
        return day

    def instant(self, name: str) -> datetime | None:
        value = self.optional(name)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            return self._report(f"{name} is {value!r}; it takes an instant such as 2026-01-31T06:00:00Z.", None)
        if instant.tzinfo is None:
            return self._report(f"{name} is {value!r}; write the time zone too, such as 2026-01-31T06:00:00Z.", None)
        if not _FIRST_YEAR <= instant.year < _LAST_YEAR:
            return self._report(
                f"{name} is {value!r}; it takes an instant from {_FIRST_YEAR} on, before {_LAST_YEAR}.", None
            )
        return instant.astimezone(UTC)

    def switch(self, name: str, *, default: bool) -> bool:
        value = (self.optional(name) or ("on" if default else "off")).lower()
        if value in {"1", "on", "true", "yes"}:
            return True
        if value in {"0", "off", "false", "no"}:
            return False
        return self._report(f"{name} is {value!r}; it takes on or off.", default)
