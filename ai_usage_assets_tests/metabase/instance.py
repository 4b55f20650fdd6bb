"""What the tests of Metabase's API share: a small set of dashboards, and a Metabase that is logged in to.

Belongs here: the smallest wanted things that have everything, and runs against a fake. Does not: expectations, or the
dashboards of `deploy/metabase`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ai_usage_assets.metabase import apply
from ai_usage_assets.metabase.client import MetabaseClient
from ai_usage_assets.metabase.objects import MetabaseContext
from ai_usage_assets.metabase.plan import Change
from ai_usage_assets.metabase.spec import Spec
from ai_usage_assets_tests.fakes.http_server import FakeClock
from ai_usage_assets_tests.fakes.metabase import ADMINISTRATORS, FakeMetabase

KEY = "mb_0123456789012345678901234567890123456789"
PRIVATE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
ACCOUNT = json.dumps({"client_email": "metabase@p.example", "private_key": f"-----BEGIN\n{PRIVATE}\n-----END\n"})


def wanted(**changed: Any) -> dict[str, Any]:
    """Two dashboards that link to each other, one with tabs; changed as a test likes."""
    spend = {
        "name": "Spend by team",
        "description": "US dollars, of the days of the month that are over.",
        "display": "bar",
        "settings": {"graph.dimensions": ["team"], "graph.metrics": ["spend_usd"]},
        "columns": {"spend_usd": {"title": "Spend", "form": "usd"}},
        "click": {"filters": {"month": "month"}, "dashboard": "people"},
        "sql": "SELECT month, team, spend_usd FROM ai_usage.kpi_spend_monthly WHERE TRUE\n[[AND month IN ({{month}})]]",
    }
    total = {
        "name": "Spend",
        "description": "US dollars.",
        "display": "scalar",
        "sql": "SELECT SUM(spend_usd) AS spend_usd FROM ai_usage.kpi_spend_monthly",
    }
    people = {
        "name": "Spend by person",
        "description": "US dollars.",
        "display": "table",
        "columns": {"spend_usd": {"form": "cents", "mini_bar": True}},
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
    persons = {
        "key": "people",
        "name": "People",
        "reader": "cost center owners",
        "question": "Who spends it?",
        "filters": ["month"],
        "tabs": [{"name": "All", "rows": [{"height": 8, "cards": [{"card": "people", "width": 24}]}]}],
        "cards": {"people": people},
    }
    month = {"name": "Month", "sql": "SELECT DISTINCT month FROM ai_usage.kpi_spend_monthly ORDER BY month DESC"}
    return {"filters": {"month": month}, "dashboards": [overview, persons], **changed}


def spec(given: dict[str, Any] | None = None) -> Spec:
    """The wanted things, typed."""
    return Spec.model_validate(wanted() if given is None else given)


def folder(path: Path, given: dict[str, Any] | None = None) -> Path:
    """The wanted things as files."""
    given = given or wanted()
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


def site(metabase: FakeMetabase, account: str | None = ACCOUNT, dataset: str = "ai_usage") -> MetabaseContext:
    """A run's view of a Metabase: nothing is known yet."""
    server = MetabaseClient(metabase.url, clock=FakeClock(), attempt_seconds=5)
    server.use_key(KEY)
    server.hide(ACCOUNT)
    return MetabaseContext(server, "p", dataset, account)


def applied(
    metabase: FakeMetabase,
    given: dict[str, Any] | None = None,
    *,
    account: str | None = ACCOUNT,
    dataset: str = "ai_usage",
    restore: bool = False,
) -> list[str]:
    """The lines of one application."""
    told: list[Change] = []
    one = site(metabase, account, dataset)
    try:
        apply.apply(one, spec(given), told.append, restore=restore)
    finally:
        one.server.close()
    return [f"{each}{'' if each.done else ': left'}" for each in told]


def planned(
    metabase: FakeMetabase,
    given: dict[str, Any] | None = None,
    account: str | None = ACCOUNT,
    dataset: str = "ai_usage",
) -> list[str]:
    """The lines of a plan."""
    one = site(metabase, account, dataset)
    try:
        return [str(each) for each in apply.plan(one, spec(given))]
    finally:
        one.server.close()


@contextmanager
def a_metabase(**options: Any) -> Iterator[FakeMetabase]:
    """A Metabase that was set up, with a key; it notes what it was sent and does not know."""
    fake = FakeMetabase(users={"ada@example.com": "a long password"}, **options)
    group = {"id": ADMINISTRATORS}
    fake.keys[3] = {"id": 3, "name": "ai-usage", "group": group, "unmasked_key": KEY, "masked_key": "mb_0"}
    with fake.serve():
        yield fake
    assert fake.wrong == []
