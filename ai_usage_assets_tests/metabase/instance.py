"""A small spec with every feature, and helpers that plan and apply it to a fake Metabase."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ai_usage_assets.metabase import apply
from ai_usage_assets.metabase.client import MetabaseClient
from ai_usage_assets.metabase.plan import Change
from ai_usage_assets.metabase.resources.base import MetabaseContext
from ai_usage_assets.metabase.spec_models import Spec
from ai_usage_assets.metabase.spec_reader import read_spec
from ai_usage_assets_tests.fakes.http_server import FakeClock
from ai_usage_assets_tests.fakes.metabase import ADMINISTRATORS, FakeMetabase

API_KEY = "mb_0123456789012345678901234567890123456789"
PRIVATE_KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
ACCOUNT = json.dumps({"client_email": "metabase@p.example", "private_key": f"-----BEGIN\n{PRIVATE_KEY}\n-----END\n"})


def spec_dict(**changes: Any) -> dict[str, Any]:
    """Two dashboards that link to each other, one of them with tabs."""
    spend = {
        "name": "Spend by team",
        "description": "US dollars, finished days of the month.",
        "display": "bar",
        "settings": {"graph.dimensions": ["team"], "graph.metrics": ["spend_usd"]},
        "columns": {"month": {}, "team": {}, "spend_usd": {"title": "Spend", "format": "usd"}},
        "click": {"filters": {"month": "month"}, "dashboard": "people"},
        "sql": "SELECT month, team, spend_usd FROM ai_usage.kpi_spend_monthly WHERE TRUE\n[[AND month IN ({{month}})]]",
    }
    total = {
        "name": "Spend",
        "description": "US dollars.",
        "display": "scalar",
        "settings": {"scalar.field": "spend_usd"},
        "columns": {"spend_usd": {"format": "usd"}},
        "sql": "SELECT SUM(spend_usd) AS spend_usd FROM ai_usage.kpi_spend_monthly",
    }
    person_spend = {
        "name": "Spend by person",
        "description": "US dollars.",
        "display": "table",
        "columns": {"month": {}, "person_email": {}, "spend_usd": {"format": "cents", "mini_bar": True}},
        "click": {"filters": {"month": "month"}},
        "sql": "SELECT month, person_email, spend_usd FROM ai_usage.kpi_spend_by_person WHERE TRUE\n"
        "[[AND month IN ({{month}})]]",
    }
    overview = {
        "key": "overview",
        "name": "AI spend overview",
        "reader": "the CFO",
        "question": "What do we spend?",
        "filters": ["month"],
        "tabs": [
            {
                "name": "Now",
                "rows": [{"heading": "This month"}, {"height": 4, "cards": [{"card": "total", "width": 6}]}],
            },
            {"name": "Teams", "rows": [{"height": 8, "cards": [{"card": "spend", "width": 24}]}]},
        ],
        "cards": {"spend": spend, "total": total},
    }
    people = {
        "key": "people",
        "name": "People",
        "reader": "cost center owners",
        "question": "Who spends it?",
        "filters": ["month"],
        "tabs": [{"name": "All", "rows": [{"height": 8, "cards": [{"card": "people", "width": 24}]}]}],
        "cards": {"people": person_spend},
    }
    month = {"name": "Month", "sql": "SELECT DISTINCT month FROM ai_usage.kpi_spend_monthly ORDER BY month DESC"}
    return {"filters": {"month": month}, "dashboards": [overview, people], **changes}


@cache
def dashboards_spec() -> Spec:
    """The spec of the project's own dashboards; do not change it."""
    return read_spec()


def make_spec(given: dict[str, Any] | None = None) -> Spec:
    """Parse the small spec, or another one."""
    return Spec.model_validate(given or spec_dict())


def write_files(path: Path, given: dict[str, Any] | None = None) -> Path:
    """Write a spec as a folder of YAML and SQL files and return the folder."""
    given = given or spec_dict()
    (path / "dashboards").mkdir(parents=True)
    (path / "filters").mkdir()
    for key, one in given["filters"].items():
        (path / "filters" / f"{key}.sql").write_text(one.pop("sql"))
    (path / "filters.yaml").write_text(yaml.safe_dump(given["filters"]))
    for dashboard in given["dashboards"]:
        key = dashboard.pop("key")
        (path / "dashboards" / key).mkdir()
        for name, card in dashboard["cards"].items():
            (path / "dashboards" / key / f"{name}.sql").write_text(card.pop("sql"))
        (path / "dashboards" / f"{key}.yaml").write_text(yaml.safe_dump(dashboard))
    return path


@contextmanager
def connect(
    metabase: FakeMetabase, account: str | None = ACCOUNT, dataset: str = "ai_usage"
) -> Iterator[MetabaseContext]:
    """Yield the context of a new run."""
    client = MetabaseClient(metabase.url, clock=FakeClock())
    client.use_api_key(API_KEY)
    client.hide_secrets(ACCOUNT)
    try:
        yield MetabaseContext(client, "p", dataset, account)
    finally:
        client.close()


def run_apply(
    metabase: FakeMetabase,
    given: dict[str, Any] | None = None,
    *,
    account: str | None = ACCOUNT,
    dataset: str = "ai_usage",
    restore: bool = False,
) -> list[str]:
    """Apply a spec and return the reported lines."""
    changes: list[Change] = []
    with connect(metabase, account, dataset) as context:
        apply.apply(context, make_spec(given), changes.append, restore=restore)
    return [f"{each}{'' if each.is_applied else ': kept'}" for each in changes]


def run_plan(
    metabase: FakeMetabase,
    given: dict[str, Any] | None = None,
    *,
    account: str | None = ACCOUNT,
    dataset: str = "ai_usage",
) -> list[str]:
    """Plan a spec and return the lines."""
    with connect(metabase, account, dataset) as context:
        return [str(each) for each in apply.plan(context, make_spec(given))]


_STORED = (
    "databases", "collections", "cards", "dashboards", "groups", "database_permissions", "collection_permissions",
    "revision", "_last_ids",
)  # fmt: skip


@cache
def _applied_objects() -> dict[str, Any]:
    """What a fake Metabase stores after the small spec was applied."""
    with serve_metabase() as metabase:
        run_apply(metabase)
        return {name: getattr(metabase, name) for name in _STORED}


@contextmanager
def serve_metabase(*, applied: bool = False, **options: Any) -> Iterator[FakeMetabase]:
    """Yield a fake Metabase that is set up and has an API key. Every request must fit its API description.

    `applied`: it has the objects of the small spec.
    """
    stored = copy.deepcopy(_applied_objects()) if applied else {}
    fake = FakeMetabase(users={"ada@example.com": "a long password"}, **stored, **options)
    group = {"id": ADMINISTRATORS}
    fake.keys[3] = {"id": 3, "name": "ai-usage", "group": group, "unmasked_key": API_KEY, "masked_key": "mb_0"}
    with fake.serve():
        yield fake
    assert fake.invalid == []
