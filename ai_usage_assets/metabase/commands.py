"""`ai-usage metabase ...`: what a person types about the dashboards.

Belongs here: arguments, and saying what came of it. Does not: work. Heavier imports wait until a verb runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_usage_assets.settings import Settings, SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.warehouses import Warehouse

Say = Callable[[str], None]
Open = Callable[[Settings], "Warehouse"]


def add_to(commands: Any, say: Say, open_warehouse: Open) -> None:
    """Adds the verbs to a parser's commands; `say` is a line for the person, `open_warehouse` one that is there."""
    metabase = commands.add_parser("metabase", help="finance's dashboards in Metabase")
    verbs = metabase.add_subparsers(required=True, metavar="command")
    _add_preview(verbs, say, open_warehouse)


def _add_preview(verbs: Any, say: Say, open_warehouse: Open) -> None:
    preview = verbs.add_parser(
        "preview", help="each dashboard with the warehouse's figures as an HTML page; needs no Metabase"
    )
    preview.add_argument("--dashboard", metavar="KEY", help="only this one, by the name of its file")
    preview.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="as chosen at the top of a dashboard, such as month=2026-10 or vendor=cursor; may be repeated",
    )
    preview.add_argument(
        "--out",
        type=Path,
        default=Path("metabase-preview"),
        metavar="FOLDER",
        help="where pages are written (default metabase-preview); people's addresses are in them, as on the dashboards",
    )
    preview.add_argument("--png", action="store_true", help="a picture beside each page, if there is a Chromium")
    preview.set_defaults(command=partial(_preview, say=say, open_warehouse=open_warehouse))


def _preview(parsed: argparse.Namespace, *, say: Say, open_warehouse: Open) -> int:
    from ai_usage_assets.metabase import spec
    from ai_usage_assets.metabase.preview import answers, browser, page

    wanted = spec.read()
    values = answers.chosen(wanted, parsed.filter)
    dashboards = [each for each in wanted.dashboards if parsed.dashboard in (None, each.key)]
    if not dashboards:
        keys = ", ".join(each.key for each in wanted.dashboards)
        raise SettingsError(f"--dashboard is {parsed.dashboard!r}; it takes one of {keys}.")
    photographer = browser.found() if parsed.png else None
    if parsed.png and photographer is None:
        say("preview: no Chromium is on this machine, so there are pages and no pictures.")
    warehouse = open_warehouse(Settings.from_environment())
    try:
        parsed.out.mkdir(parents=True, exist_ok=True)
        for each in dashboards:
            file = parsed.out / f"{each.key}.html"
            found = answers.of_dashboard(warehouse, each, values)
            file.write_text(page.html(wanted, each, values, found), "utf-8")
            if photographer:
                browser.photograph(photographer, file, file.with_suffix(".png"), (page.WIDTH, page.height(each)))
            say(f"preview: {each.name}, {file.absolute().as_uri()}")
    except OSError as error:
        raise SettingsError(f"{parsed.out} cannot be written ({error.strerror}); name another with --out.") from None
    finally:
        warehouse.release()
    return 0
