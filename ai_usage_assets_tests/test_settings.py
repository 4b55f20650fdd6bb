"""What can be set, and what is told about a value that cannot be used."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ai_usage_assets.secret_manager import resolve_secret
from ai_usage_assets.settings import CloudRun, LogSettings, Settings, SettingsError
from ai_usage_assets_tests.support.repository import REPOSITORY


def test_nothing_set_gives_the_documented_defaults() -> None:
    """An empty environment is a working embedded warehouse without vendors."""
    settings = Settings.from_environment({})
    assert (settings.warehouse, settings.duckdb_path) == ("duckdb", Path("data/warehouse.duckdb"))
    assert (settings.dataset, settings.start_date) == ("ai_usage", date(2026, 1, 1))
    assert settings.configured_sources == ()
    assert settings.sheet_id is None
    assert settings.sources["anthropic"].base_url == "https://api.anthropic.com"


def test_an_empty_variable_counts_as_unset() -> None:
    """A variable that is set to nothing, as templates do, is not a key."""
    assert Settings.from_environment({"ANTHROPIC_ADMIN_KEY": " ", "AI_USAGE_NOW": ""}) == Settings.from_environment({})


def test_a_cloud_run_job_is_known_by_its_variables() -> None:
    """Inside a job logs are JSON, and which task of which execution this is can be told; elsewhere it is the only."""
    inside = Settings.from_environment(
        {
            "CLOUD_RUN_JOB": "daily",
            "CLOUD_RUN_EXECUTION": "daily-x",
            "CLOUD_RUN_TASK_INDEX": "2",
            "CLOUD_RUN_TASK_COUNT": "5",
        }
    )
    assert (inside.log_format, inside.cloud_run) == ("json", CloudRun("daily-x", 2, 5))
    assert (Settings.from_environment({}).log_format, Settings.from_environment({}).cloud_run) == (
        "console",
        CloudRun(),
    )


def test_what_stands_in_for_google_may_be_named_without_a_scheme() -> None:
    """Google's own tools write host and port, its client an address; both are taken."""
    for value in ("127.0.0.1:9050", "http://127.0.0.1:9050"):
        assert Settings.from_environment({"BIGQUERY_EMULATOR_HOST": value}).bigquery_emulator == "http://127.0.0.1:9050"


def test_the_clock_can_be_held() -> None:
    """AI_USAGE_NOW makes a run believe in that instant, in UTC."""
    settings = Settings.from_environment({"AI_USAGE_NOW": "2026-11-20T08:00:00+02:00"})
    assert settings.now() == datetime(2026, 11, 20, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AI_USAGE_WAREHOUSE", "postgres", "duckdb or bigquery"),
        ("AI_USAGE_WAREHOUSE", "bigquery", "GOOGLE_CLOUD_PROJECT is not set"),
        ("AI_USAGE_LOGS", "xml", "console or json"),
        ("BIGQUERY_EMULATOR_HOST", "https://bigquery.example.com", "on this machine"),
        ("SECRET_MANAGER_EMULATOR_HOST", "10.0.0.1:80", "on this machine"),
        ("AI_USAGE_RAW_EXPIRY_DAYS", "7", "60 or more"),
        ("CLOUD_RUN_TASK_COUNT", "none", "a whole number"),
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
def test_a_wrong_value_names_its_variable(name: str, value: str, says: str) -> None:
    """Whatever cannot be used is refused with the variable's name and what it takes, never with a credential."""
    with pytest.raises(SettingsError, match=says) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value)
    assert "secret" not in str(caught.value)


def test_all_wrong_values_are_told_at_once_without_a_key() -> None:
    """Each line names one variable, and a key that was pasted into the wrong one is not quoted."""
    wrong = {"AI_USAGE_NOW": "noon", "AI_USAGE_DATASET": "sk-ant-admin01-0123456789abcdef", "AI_USAGE_PACING": "x"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(wrong)
    lines = str(caught.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(wrong)
    assert "0123456789" not in str(caught.value)


def test_several_keys_in_one_variable_are_not_quoted() -> None:
    """A piece of a file of settings, pasted as one value, is told without any of its keys."""
    pasted = "X=x\ncrsr_" + "ab12" * 16 + "\nsk-ant-admin01-" + "Zz9_" * 20
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"AI_USAGE_PACING": pasted})
    assert not [secret for secret in ("ab12", "Zz9") if secret in str(caught.value)]


def test_keys_are_not_in_the_text_of_settings() -> None:
    """Printing the settings prints no key."""
    settings = Settings.from_environment({"ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-x", "CURSOR_ADMIN_KEY": "crsr_x"})
    assert "sk-ant" not in repr(settings)
    assert "crsr_" not in repr(settings)


def test_a_key_given_as_such_is_itself() -> None:
    """Only a Secret Manager name is looked up; a key stands for itself."""
    assert resolve_secret("sk-ant-admin01-x") == "sk-ant-admin01-x"


def test_the_page_of_settings_names_every_variable() -> None:
    """docs/settings.md has each variable that is read, once, and no other."""
    asked: set[str] = set()

    class Asked(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:
            asked.add(name)
            return default

    Settings.from_environment(Asked())
    LogSettings.from_environment(Asked())
    page = (REPOSITORY / "docs" / "settings.md").read_text()
    # The first cell of a row, and what the platform sets.
    lists = [*re.findall(r"^\| (`.*?) \|", page, re.MULTILINE), page.rpartition("## Set by the platform")[2]]
    named = re.findall(r"`([A-Z_]+)`", " ".join(lists))
    assert sorted(named) == sorted(asked)
