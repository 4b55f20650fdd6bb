"""`ai-usage metabase ...`: arguments, and what is printed.

Belongs here: the commands' words and exit codes. Does not: work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai_usage_assets.settings import Settings, SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.metabase.objects import MetabaseContext
    from ai_usage_assets.metabase.plan import Change
    from ai_usage_assets.metabase.spec import Spec
    from ai_usage_assets.warehouse.base import Warehouse

Say = Callable[[str], None]
Open = Callable[[Settings], "Warehouse"]

# Not all is as it is wanted; neither 1 (something failed) nor 2 (asked for wrongly).
DIFFERS = 3
_WAIT_SECONDS = 300


def add_commands(commands: Any, say: Say, open_warehouse: Open) -> None:
    """Adds the verbs to a parser's commands; `say` is a line for the person, `open_warehouse` one that is there."""
    metabase = commands.add_parser("metabase", help="finance's dashboards in Metabase, as code")
    verbs = metabase.add_subparsers(required=True, metavar="command")
    plan = verbs.add_parser(
        "plan", help=f"what apply would do, and what was edited by hand; exit code {DIFFERS} if anything"
    )
    apply = verbs.add_parser(
        "apply", help=f"make it so; exit code {DIFFERS} if something edited by hand was left as it is"
    )
    smoke = verbs.add_parser(
        "smoke", help="apply, then every card in Metabase itself, with and without filters; exit code 1 if one fails"
    )
    for verb in (apply, smoke):
        verb.add_argument("--restore", action="store_true", help="also what was edited by hand")
    preview = _add_preview(verbs, say, open_warehouse)
    for verb in (plan, apply, smoke, preview):
        verb.add_argument(
            "--from", dest="folder", type=Path, metavar="DIR", help="other dashboards than deploy/metabase"
        )
    for verb, command in ((plan, _plan), (apply, _apply), (smoke, _smoke)):
        verb.add_argument(
            "--wait",
            type=int,
            default=_WAIT_SECONDS,
            metavar="SECONDS",
            help=f"how long a Metabase that is starting is waited for (default {_WAIT_SECONDS})",
        )
        verb.set_defaults(command=command)


def _plan(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.metabase import apply, credentials

    spec = _spec(parsed)
    with _site(parsed) as (site, settings), credentials.authenticate_read_only(site.server, settings) as is_set_up:
        changes = apply.plan(site, spec) if is_set_up else apply.plan_of_nothing(spec)
    for change in changes:
        _line()(str(change))
    _line()(_summary(changes))
    return DIFFERS if changes else 0


def _apply(parsed: argparse.Namespace) -> int:
    spec = _spec(parsed)
    with _site(parsed) as (site, settings):
        return _applied(site, settings, spec, restore=parsed.restore)


def _smoke(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.metabase import smoke

    spec = _spec(parsed)
    wrong: list[str] = []

    def tell(tried: smoke.SmokeResult) -> None:
        wrong.extend(tried.wrong)
        _line()(str(tried))

    with _site(parsed) as (site, settings):
        code = _applied(site, settings, spec, restore=parsed.restore)
        if code:
            _line()("So nothing was tried.")
            return code
        smoke.smoke(site, spec, tell)
    _line()(f"{len(wrong)} things are wrong." if wrong else "Every card answers, and every filter is minded.")
    return 1 if wrong else 0


def _applied(site: MetabaseContext, settings: Settings, spec: Spec, *, restore: bool) -> int:
    """Makes it so, telling every change; the exit code."""
    from ai_usage_assets.metabase import apply, credentials

    changes: list[Change] = []

    def tell(change: Change) -> None:
        changes.append(change)
        _line()(f"{change}{'' if change.done else ': left as it is'}")

    credentials.authenticate(site.server, settings, _line())
    apply.apply(site, spec, tell, restore=restore)
    left = [change for change in changes if not change.done]
    if left:
        _line()(f"{len(left)} edited by hand, and left; `ai-usage metabase apply --restore` overwrites them.")
        return DIFFERS
    _line()("Metabase is as it is wanted." if changes else "Nothing to do: Metabase is as it is wanted.")
    return 0


def _summary(changes: list[Change]) -> str:
    if not changes:
        return "Nothing to do: Metabase is as it is wanted."
    words = {"+": "new", "~": "to change", "!": "edited by hand (apply --restore overwrites)", "-": "to archive"}
    counts = {word: sum(change.sign == sign for change in changes) for sign, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) + "."


def _spec(parsed: argparse.Namespace) -> Spec:
    from ai_usage_assets.metabase import spec

    return spec.read_spec(parsed.folder or spec.DASHBOARDS_DIR)


@contextmanager
def _site(parsed: argparse.Namespace) -> Iterator[tuple[MetabaseContext, Settings]]:
    """The Metabase of the settings, as soon as it is ready."""
    from ai_usage_assets.metabase import credentials
    from ai_usage_assets.metabase.client import MetabaseClient
    from ai_usage_assets.metabase.objects import MetabaseContext

    settings = Settings.from_environment()
    if not settings.project:
        raise SettingsError("GOOGLE_CLOUD_PROJECT is not set: Metabase shows the dataset of that project.")
    if parsed.wait < 0:
        raise SettingsError(f"--wait is {parsed.wait}; it takes seconds.")
    server = MetabaseClient(settings.metabase.url)
    try:
        account = credentials.service_account(settings)
        if account:
            server.hide(account)
        server.wait_until_healthy(parsed.wait)
        yield MetabaseContext(server, settings.project, settings.dataset, account), settings
    finally:
        server.close()


def _line() -> Callable[[str], None]:
    """One line of the answer at a time, as it is."""
    from rich.console import Console

    terminal = Console(soft_wrap=True, highlight=False, markup=False)
    return lambda text: terminal.print(text)


def _add_preview(verbs: Any, say: Say, open_warehouse: Open) -> Any:
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
    return preview


def _preview(parsed: argparse.Namespace, *, say: Say, open_warehouse: Open) -> int:
    from ai_usage_assets.metabase.preview import browser, page, queries

    wanted = _spec(parsed)
    values = queries.parse_filters(wanted, parsed.filter)
    dashboards = [each for each in wanted.dashboards if parsed.dashboard in (None, each.key)]
    if not dashboards:
        keys = ", ".join(each.key for each in wanted.dashboards)
        raise SettingsError(f"--dashboard is {parsed.dashboard!r}; it takes one of {keys}.")
    photographer = browser.find_browser() if parsed.png else None
    if parsed.png and photographer is None:
        say("preview: no Chromium is on this machine, so there are pages and no pictures.")
    warehouse = open_warehouse(Settings.from_environment())
    try:
        parsed.out.mkdir(parents=True, exist_ok=True)
        for each in dashboards:
            file = parsed.out / f"{each.key}.html"
            found = queries.query_dashboard(warehouse, each, values)
            file.write_text(page.render_page(wanted, each, values, found), "utf-8")
            if photographer:
                browser.take_screenshot(
                    photographer, file, file.with_suffix(".png"), (page.WIDTH, page.page_height(each))
                )
            say(f"preview: {each.name}, {file.absolute().as_uri()}")
    except OSError as error:
        raise SettingsError(f"{parsed.out} cannot be written ({error.strerror}); name another with --out.") from None
    finally:
        warehouse.close()
    return 0
