"""Settings are read from the environment; invalid values are reported by variable, without keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ai_usage_assets.commands import settings_page
from ai_usage_assets.secret_manager import resolve_secret
from ai_usage_assets.settings import CloudRun, Settings, SettingsError
from ai_usage_assets.settings.model import MODELS, variable_fields
from ai_usage_assets.settings.variables import describe_unknown_variables, list_variables


def test_defaults() -> None:
    """An empty environment configures an embedded warehouse without vendors."""
    settings = Settings.from_environment({})
    assert (settings.warehouse, settings.duckdb_path) == ("duckdb", Path("data/warehouse.duckdb"))
    assert (settings.dataset, settings.start_date) == ("ai_usage", date(2026, 1, 1))
    assert settings.configured_sources == ()
    assert settings.sheet_id is None
    assert settings.sources["anthropic"].base_url == "https://api.anthropic.com"


def test_empty_variable_counts_as_unset() -> None:
    """A variable with an empty value, as templates write it, is not a key."""
    assert Settings.from_environment({"ANTHROPIC_ADMIN_KEY": " ", "AI_USAGE_NOW": ""}) == Settings.from_environment({})


def test_cloud_run_job() -> None:
    """In a Cloud Run job logs are JSON and the task is known; elsewhere the process is the only task."""
    inside = Settings.from_environment(
        {
            "CLOUD_RUN_JOB": "daily",
            "CLOUD_RUN_EXECUTION": "daily-x",
            "CLOUD_RUN_TASK_INDEX": "2",
            "CLOUD_RUN_TASK_COUNT": "5",
        }
    )
    assert (inside.log_format, inside.cloud_run) == ("json", CloudRun("daily-x", 2, 5))
    outside = Settings.from_environment({})
    assert (outside.log_format, outside.cloud_run) == ("console", CloudRun())


def test_emulator_address_with_or_without_scheme() -> None:
    """Google's tools write host and port, its client a URL; both are accepted."""
    for value in ("127.0.0.1:9050", "http://127.0.0.1:9050"):
        assert Settings.from_environment({"BIGQUERY_EMULATOR_HOST": value}).bigquery_emulator == "http://127.0.0.1:9050"


def test_fixed_clock() -> None:
    """AI_USAGE_NOW sets the current time, in UTC."""
    settings = Settings.from_environment({"AI_USAGE_NOW": "2026-11-20T08:00:00+02:00"})
    assert settings.now() == datetime(2026, 11, 20, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AI_USAGE_WAREHOUSE", "postgres", "duckdb or bigquery"),
        ("AI_USAGE_WAREHOUSE", "bigquery", "GOOGLE_CLOUD_PROJECT is not set"),
        ("AI_USAGE_LOGS", "xml", "console or json"),
        ("BIGQUERY_EMULATOR_HOST", "https://bigquery.example.com", "on this machine"),
        ("SECRET_MANAGER_EMULATOR_HOST", "10.0.0.1:80", "on this machine"),
        ("AI_USAGE_RAW_EXPIRY_DAYS", "7", "60 or more"),
        ("AI_USAGE_MAX_BYTES_BILLED", "1000", "10485760 or more"),
        ("CLOUD_RUN_TASK_COUNT", "none", "an integer"),
        ("AI_USAGE_DATASET", 'x"; DROP', "letters, digits"),
        ("AI_USAGE_START_DATE", "01/02/2026", "2026-01-31"),
        ("AI_USAGE_NOW", "yesterday", "2026-01-31T06:00:00Z"),
        ("AI_USAGE_NOW", "2026-01-31T06:00:00", "time zone"),
        ("ANTHROPIC_BASE_URL", "http://api.anthropic.com", "loopback"),
        ("CURSOR_BASE_URL", "https://user:secret@api.cursor.com", "credentials"),
        ("SHEETS_BASE_URL", "sheets", "address"),
        ("CURSOR_BASE_URL", "https://h:port", "address"),
        ("CURSOR_BASE_URL", "https://h/\nx", "address"),
        ("CURSOR_BASE_URL", "http://127.999.1.1", "loopback"),
        ("CURSOR_BASE_URL", "https://" + "a" * 64 + ".com", "address"),
        ("CURSOR_BASE_URL", "https://" + "a" * 300, "address"),
        ("AI_USAGE_DUCKDB_PATH", "a\0b", "NUL"),
        ("AI_USAGE_PACING", "off", "loopback"),
        ("AI_USAGE_ACCEPT_LOSS", "perhaps", "on or off"),
    ],
)
def test_invalid_value_names_its_variable(name: str, value: str, reason: str) -> None:
    """An invalid value is rejected with its variable and the valid values, without any credential."""
    with pytest.raises(SettingsError, match=reason) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value)
    assert "secret" not in str(caught.value)


def test_all_invalid_values_are_reported_at_once_without_a_key() -> None:
    """Each line names one variable, and a key in the wrong variable is not quoted."""
    wrong = {"AI_USAGE_NOW": "noon", "AI_USAGE_DATASET": "sk-ant-admin01-0123456789abcdef", "AI_USAGE_PACING": "x"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(wrong)
    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(wrong)
    assert "0123456789" not in str(caught.value)


def test_several_keys_in_one_variable_are_not_quoted() -> None:
    """Several lines of a settings file, pasted as one value, are reported without their keys."""
    pasted = "X=x\ncrsr_" + "ab12" * 16 + "\nsk-ant-admin01-" + "Zz9_" * 20
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"AI_USAGE_PACING": pasted})
    assert not [secret for secret in ("ab12", "Zz9") if secret in str(caught.value)]


def test_settings_repr_contains_no_key() -> None:
    """Printing the settings prints no key."""
    settings = Settings.from_environment({"ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-x", "CURSOR_ADMIN_KEY": "crsr_x"})
    assert "sk-ant" not in repr(settings)
    assert "crsr_" not in repr(settings)


def test_literal_key_is_returned_unchanged() -> None:
    """Only a Secret Manager name is resolved."""
    assert resolve_secret("sk-ant-admin01-x") == "sk-ant-admin01-x"


def test_secret_is_neither_quoted_nor_printed() -> None:
    """An invalid value of a secret variable is reported without the value, and a valid one is not in the repr."""
    names = ("DAGSTER_PG_URL", "AI_USAGE_DIGEST_WEBHOOK")
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(dict.fromkeys(names, "mysql://hunter2"))
    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert "hunter2" not in str(caught.value)
    secrets = {
        name: f"hunter2-{name}" for model in MODELS for name, field in variable_fields(model).items() if not field.repr
    }
    secrets |= {"DAGSTER_PG_URL": "postgresql+psycopg2://hunter2", "AI_USAGE_DIGEST_WEBHOOK": "https://hunter2"}
    assert len(secrets) > 5
    assert "hunter2" not in repr(Settings.from_environment(secrets))


def test_all_kinds_of_problems_are_reported_at_once() -> None:
    """Values that are invalid, a vendor's address, and values that exclude each other are in one message."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {
                "AI_USAGE_WAREHOUSE": "BigQuery",
                "AI_USAGE_START_DATE": "2020-01-01",
                "CURSOR_BASE_URL": "http://api.cursor.com",
                "AI_USAGE_METABASE_URL": "localhost",
                "CLOUD_RUN_TASK_COUNT": "0",
            }
        )
    assert sorted(line.split()[0] for line in str(caught.value).splitlines()) == [
        "AI_USAGE_METABASE_URL",
        "AI_USAGE_START_DATE",
        "CLOUD_RUN_TASK_COUNT",
        "CURSOR_BASE_URL",
        "GOOGLE_CLOUD_PROJECT",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in ("on", "1", "true", "YES")),
        *((value, False) for value in ("off", "0", "False", "no")),
    ],
)
def test_switch(value: str, expected: bool) -> None:
    """A switch takes the usual words, in any case."""
    assert Settings.from_environment({"AI_USAGE_DIGEST": value}).digest is expected


def test_fields_are_not_read_by_their_names() -> None:
    """A variable of another program that is named like a field is not read."""
    assert Settings.from_environment({"project": "x", "sources": "x", "metabase": "x"}) == Settings.from_environment({})


def test_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are constructed in code have the defaults, whatever the environment contains."""
    monkeypatch.setenv("AI_USAGE_DATASET", "other")
    assert Settings().dataset == "ai_usage"
    assert Settings.from_environment().dataset == "other"


def test_each_variable_is_listed_once() -> None:
    """No two fields read the same variable, and each is described in a section of docs/settings.md."""
    variables = list_variables()
    assert len({variable.name for variable in variables}) == len(variables)
    assert {variable.group for variable in variables} == settings_page._GROUPS.keys()
    assert all(variable.meaning for variable in variables)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AI_USAGE_DATSET", "AI_USAGE_DATASET"),
        ("AI_USAGE_WEBHOOK", "AI_USAGE_DIGEST_WEBHOOK"),
        ("AI_USAGE_CURSOR_ADMIN_KEY", "CURSOR_ADMIN_KEY"),
        ("AI_USAGE_XYZ", "docs/settings.md"),
    ],
)
def test_unknown_variable(name: str, meant: str) -> None:
    """The warning of an unknown variable has the closest name and not the value."""
    (warning,) = describe_unknown_variables({name: "hunter2", "AI_USAGE_DATASET": "x"})
    assert warning.startswith(f"{name} ")
    assert meant in warning
    assert "hunter2" not in warning


def test_variables_of_other_programs_cause_no_warning() -> None:
    """Variables without the prefix, such as those of the vendors' own tools, and empty ones cause no warning."""
    others = dict.fromkeys(("ANTHROPIC_API_KEY", "CURSOR_API_KEY", "ANTHROPIC_MODEL", "AI_USAGES", "PATH"), "x")
    assert describe_unknown_variables({**others, "AI_USAGE_EMPTY": ""}) == []
