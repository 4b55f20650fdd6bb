"""The daily run as a Dagster schedule, for an installation that runs Dagster's daemon instead of Cloud Scheduler."""

import dagster as dg

from ai_usage_assets.days import DayError, tags_for_range, trailing_range
from ai_usage_assets.settings import Settings

# The same as in deploy/terraform/schedule.tf.
_CRON = "0 6 * * *"
_TIME_ZONE = "America/Los_Angeles"


def build_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule of the job `daily`, stopped until somebody starts it."""

    @dg.schedule(
        name="daily_schedule",
        job_name="daily",
        cron_schedule=_CRON,
        execution_timezone=_TIME_ZONE,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Requests the same run as `ai-usage run`: the trailing days in one run. Stopped by default: in "
        "production, Cloud Scheduler starts the run (deploy/terraform). Start it only where nothing else does.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            days = trailing_range(settings.fixed_now or context.scheduled_execution_time, settings.start_date)
        except DayError as error:
            return dg.SkipReason(str(error))
        return dg.RunRequest(tags=tags_for_range(days), run_config={"loggers": {"console": {}}})

    return schedule
