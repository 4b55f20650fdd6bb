"""`ai-usage digest`: prints the spend of yesterday and of the month, and can send it to a chat."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    CommandFailed,
    create_command,
    load_settings,
    open_existing_warehouse,
    print_message,
    print_result_line,
)
from ai_usage_assets.settings import SettingsError

app = create_command(
    "digest",
    example="ai-usage digest --send",
    settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS, "AI_USAGE_DIGEST_WEBHOOK", "AI_USAGE_DIGEST_PEOPLE"),
)


@app.default
def _print_digest(
    *, send: Annotated[bool, Parameter(help="also send it to the chat of AI_USAGE_DIGEST_WEBHOOK")] = False
) -> int:
    """Print the spend of yesterday and of the month, and what needs attention."""
    from ai_usage_assets.finance import digest
    from ai_usage_assets.secret_manager import SecretError

    settings = load_settings()
    if send and not settings.digest_webhook:
        raise SettingsError("--send needs AI_USAGE_DIGEST_WEBHOOK: a webhook URL, or a Secret Manager name.")
    warehouse = open_existing_warehouse(settings, read_only=True)
    yesterday = days.last_finished_day(settings.now())
    content = digest.build_digest(warehouse, yesterday, with_people=settings.digest_people)
    warehouse.close()
    print_result_line(str(content))
    if send:
        try:
            digest.send_digest(content, settings)
        except SecretError as error:
            raise CommandFailed(str(error)) from None
        print_message("Sent.")
    return 0
