"""The settings: one field per environment variable, with its type, default and meaning.

`docs/settings.md` is generated from these fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from ai_usage_assets.registry import SOURCES, SourceEntry, source_entry
from ai_usage_assets.settings.addresses import is_loopback
from ai_usage_assets.settings.errors import SettingsError
from ai_usage_assets.settings.field_types import (
    UNQUOTED,
    Address,
    ByteLimit,
    Day,
    Emulator,
    ExpiryDays,
    FilePath,
    Identifier,
    Instant,
    LogFormat,
    Natural,
    Positive,
    PostgresAddress,
    Switch,
    Warehouse,
    Webhook,
)
from ai_usage_assets.settings.log_settings import LogSettings, read_variables

# Not named like the schema: in DuckDB, `ai_usage.kpi_spend_monthly` would otherwise look for a catalog `ai_usage`.
DEFAULT_DUCKDB_PATH = Path("data/warehouse.duckdb")

# Code sets fields by their names; `from_environment` reads them by the names of the variables.
_CONFIG = ConfigDict(extra="forbid", validate_by_name=True, hide_input_in_errors=True)


def _variable(
    name: str, group: str, meaning: str, *, default: Any = None, shown_default: str | None = None, secret: bool = False
) -> Any:
    """A field that is read from an environment variable.

    `group` is its section in docs/settings.md. `shown_default` is the text for the default on that page, if it is not
    the value itself. A secret is neither printed nor quoted in messages.
    """
    return Field(
        default,
        validation_alias=name,
        description=meaning,
        repr=not secret,
        json_schema_extra={"group": group, "shown_default": shown_default},
    )


@dataclass(frozen=True, config=_CONFIG)
class CloudRun:
    """The Cloud Run execution, task and image of this process; the defaults outside of Cloud Run."""

    execution: str | None = _variable("CLOUD_RUN_EXECUTION", "platform", "name of the execution")
    task_index: Natural = _variable(
        "CLOUD_RUN_TASK_INDEX", "platform", "number of the task, starting with 0", default=0
    )
    task_count: Positive = _variable("CLOUD_RUN_TASK_COUNT", "platform", "number of tasks", default=1)
    task_attempt: Natural = _variable("CLOUD_RUN_TASK_ATTEMPT", "platform", "number of restarts of the task", default=0)
    image: str | None = _variable("AI_USAGE_IMAGE", "platform", "the container image; Terraform sets it")


@dataclass(frozen=True, config=_CONFIG)
class SourceSettings:
    """The key of one vendor (a value or a Secret Manager name; None: not configured) and the base URL of its API.

    The registry names the variables.
    """

    key: str | None = Field(default=None, repr=False)
    base_url: Address = ""


def _default_sources() -> Mapping[str, SourceSettings]:
    return {entry.name: SourceSettings(base_url=entry.default_base_url) for entry in SOURCES}


@dataclass(frozen=True, config=_CONFIG)
class MetabaseSettings:
    """The address and credentials of Metabase. A secret is a value, a Secret Manager name or a file."""

    url: Address = _variable(
        "AI_USAGE_METABASE_URL",
        "metabase",
        "address of Metabase",
        default="http://localhost:3000",
        shown_default="`http://localhost:3000`, the local end of the tunnel to the VM",
    )
    api_key: str = _variable(
        "AI_USAGE_METABASE_API_KEY",
        "metabase",
        "secret: API key; if there is none yet, a new key is created and stored here",
        default="file:data/metabase.key",
        secret=True,
    )
    service_account: str | None = _variable(
        "AI_USAGE_METABASE_SERVICE_ACCOUNT",
        "metabase",
        "secret: the JSON key with which Metabase reads BigQuery",
        shown_default="the existing key stays",
        secret=True,
    )
    admin_email: str | None = _variable(
        "AI_USAGE_METABASE_ADMIN_EMAIL",
        "metabase",
        "secret: e-mail address of the first administrator, or of an existing one; required until there is an API key",
        secret=True,
    )
    admin_password: str | None = _variable(
        "AI_USAGE_METABASE_ADMIN_PASSWORD", "metabase", "secret: password of that administrator", secret=True
    )
    setup_token: str | None = _variable(
        "AI_USAGE_METABASE_SETUP_TOKEN",
        "metabase",
        "secret: required only if the server was started with `MB_SETUP_TOKEN`",
        shown_default="read from the server",
        secret=True,
    )


@dataclass(frozen=True, config=_CONFIG)
class Settings:
    """All settings, typed. A key is a value or the name of a secret in Secret Manager, which is not read yet."""

    # Not hashed, because a mapping cannot be.
    sources: Mapping[str, SourceSettings] = field(default_factory=_default_sources, hash=False)
    sheet_id: str | None = _variable(
        "AI_USAGE_SHEET_ID",
        "sources",
        "id of the mapping spreadsheet: the part of its address between /d/ and /edit",
        shown_default="all spend is unallocated",
    )
    start_date: Day = _variable(
        "AI_USAGE_START_DATE",
        "sources",
        "first UTC day of the warehouse; finished days since then that no run has requested are `not_loaded`",
        default=date(2026, 1, 1),
    )
    accept_loss: Switch = _variable(
        "AI_USAGE_ACCEPT_LOSS",
        "sources",
        "`on`: an empty day or a shrunken tab can replace a full one (for one run: `ai-usage run --accept-loss`)",
        default=False,
    )
    warehouse: Warehouse = _variable("AI_USAGE_WAREHOUSE", "warehouse", "`duckdb` or `bigquery`", default="duckdb")
    duckdb_path: FilePath = _variable(
        "AI_USAGE_DUCKDB_PATH", "warehouse", "the DuckDB file", default=DEFAULT_DUCKDB_PATH
    )
    project: str | None = _variable("GOOGLE_CLOUD_PROJECT", "warehouse", "the BigQuery project; required for BigQuery")
    dataset: Identifier = _variable(
        "AI_USAGE_DATASET",
        "warehouse",
        "the BigQuery dataset, or the schema in the DuckDB file",
        default="ai_usage",
    )
    raw_expiry_days: ExpiryDays | None = _variable(
        "AI_USAGE_RAW_EXPIRY_DAYS",
        "warehouse",
        "days after which BigQuery deletes raw records, at least 60",
        shown_default="never",
    )
    max_bytes_billed: ByteLimit = _variable(
        "AI_USAGE_MAX_BYTES_BILLED",
        "warehouse",
        "BigQuery rejects a query that would be billed for more bytes, at no cost",
        default=500_000_000_000,
        shown_default="500000000000 (500 GB; [estimate](decisions/0015-bigquery.md))",
    )
    ops_expiry_days: ExpiryDays = _variable(
        "AI_USAGE_OPS_EXPIRY_DAYS",
        "warehouse",
        "days after which a run deletes results of checks and the parts of restatements, at least 60",
        default=400,
    )
    dagster_home: FilePath | None = _variable(
        "DAGSTER_HOME",
        "warehouse",
        "folder of Dagster's run history",
        shown_default="`dagster`, next to the DuckDB file",
    )
    # The address contains a password.
    dagster_postgres_url: PostgresAddress | None = _variable(
        "DAGSTER_PG_URL",
        "warehouse",
        "PostgreSQL database with one run history for all machines: `postgresql+psycopg2://user:password@host/name`",
        shown_default="the folder of `DAGSTER_HOME`",
        secret=True,
    )
    log_format: LogFormat = _variable(
        "AI_USAGE_LOGS",
        "output",
        "`console`, or `json`: [log entries for Cloud Logging](decisions/0014-json-logs.md) on stdout and nothing else",
        default="console",
        shown_default="`console`; `json` in a Cloud Run job",
    )
    report_path: FilePath | None = _variable(
        "AI_USAGE_REPORT",
        "output",
        "file to which a run of the latest day writes the report",
        shown_default="no file",
    )
    digest: Switch = _variable(
        "AI_USAGE_DIGEST", "output", "`off`: a run of the latest day logs and sends no digest", default=True
    )
    digest_webhook: Webhook | None = _variable(
        "AI_USAGE_DIGEST_WEBHOOK",
        "output",
        "secret: webhook address of a chat that receives the digest",
        shown_default="log only",
        secret=True,
    )
    digest_people: Switch = _variable(
        "AI_USAGE_DIGEST_PEOPLE", "output", "`on`: the digest names people", default=False
    )
    metabase: MetabaseSettings = Field(default_factory=MetabaseSettings)
    fixed_now: Instant | None = _variable(
        "AI_USAGE_NOW",
        "development",
        "a time with its UTC offset (`2026-11-23T14:00:00Z`) that replaces the clock, to reproduce a run",
        shown_default="the clock",
    )
    sheets_url: Address = _variable(
        "SHEETS_BASE_URL",
        "development",
        "address of the Google Sheets API, or of its simulation by `ai-usage simulator`",
        default="https://sheets.googleapis.com",
    )
    pacing: Switch = _variable(
        "AI_USAGE_PACING",
        "development",
        "`off`, only with servers on loopback: requests are not rate limited, and a retry waits only for a "
        "`Retry-After`",
        default=True,
    )
    bigquery_emulator: Emulator | None = _variable(
        "BIGQUERY_EMULATOR_HOST", "development", "BigQuery emulator on loopback, called without credentials"
    )
    secrets_emulator: Emulator | None = _variable(
        "SECRET_MANAGER_EMULATOR_HOST", "development", "Secret Manager emulator on loopback, called without credentials"
    )
    cloud_run: CloudRun = Field(default_factory=CloudRun)

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
        variables = read_variables(environment)
        problems: dict[str, str] = {}
        try:
            settings = _validate(variables)
        except ValidationError as error:
            problems = dict(_describe_errors(error, variables))
            # The variables are valid or have their default now, so that the rules below are tested too.
            settings = _validate({name: value for name, value in variables.items() if name not in problems})
        lines = [*problems.values(), *_find_conflicts(settings)]
        if lines:
            raise SettingsError("\n".join(lines))
        return settings


# The models whose fields name variables. The registry names those of the sources.
MODELS = (Settings, MetabaseSettings, CloudRun)


def _validate(variables: Mapping[str, str]) -> Settings:
    """Builds the settings. Raises pydantic's ValidationError with every invalid variable."""
    log_format = LogSettings.from_environment(variables).log_format
    values: dict[str, object] = {
        **_select(Settings, {"AI_USAGE_LOGS": log_format, **variables}),
        "sources": {
            entry.name: {
                "key": variables.get(entry.key_variable),
                "base_url": variables.get(entry.base_url_variable, entry.default_base_url),
            }
            for entry in SOURCES
        },
        "metabase": _select(MetabaseSettings, variables),
        "cloud_run": _select(CloudRun, variables),
    }
    return TypeAdapter(Settings).validate_python(values, by_alias=True, by_name=False)


def _select(model: type, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a model reads."""
    return {name: variables[name] for name in variable_fields(model) if name in variables}


def variable_fields(model: Any) -> dict[str, FieldInfo]:
    """The environment variables that a model reads, with their fields."""
    model_fields: Mapping[str, FieldInfo] = model.__pydantic_fields__
    return {str(entry.validation_alias): entry for entry in model_fields.values() if entry.validation_alias}


def _describe_errors(error: ValidationError, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The name of each invalid variable, and its line of the message. Secrets are not quoted."""
    secrets = {name for model in MODELS for name, entry in variable_fields(model).items() if not entry.repr}
    for details in error.errors(include_url=False):
        location = details["loc"]
        name = str(location[-1])
        if location[0] == "sources":
            name = source_entry(str(location[1])).base_url_variable
        reason = str(details.get("ctx", {}).get("error", details["msg"]))
        if details["type"] == UNQUOTED:
            yield name, f"{name} {reason}."
        elif name in secrets:
            yield name, f"{name} {reason.removeprefix('it ')}."
        else:
            yield name, f"{name} is {variables[name]!r}; {reason}."


def _find_conflicts(settings: Settings) -> Iterator[str]:
    """Describes variables that are valid alone and not together."""
    if settings.warehouse == "bigquery" and not settings.project:
        yield "GOOGLE_CLOUD_PROJECT is not set; AI_USAGE_WAREHOUSE=bigquery needs the project to write to."
    if not settings.pacing and not settings.is_simulated:
        yield "AI_USAGE_PACING=off is only for simulated vendors on loopback addresses."
