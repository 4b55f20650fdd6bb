"""The raw tables of Cursor, and the fields that are documented for their records."""

from __future__ import annotations

from ai_usage_assets.sources.records import field_paths
from ai_usage_assets.warehouse.raw_tables import raw_table

NAME = "cursor"

RAW_EVENTS = raw_table(
    "raw_cursor_usage_events", "Every billed or included request: user, model, tokens, cents charged."
)
RAW_DAILY_USAGE = raw_table(
    "raw_cursor_daily_usage",
    "One row per member and day: activity, lines and requests. The rows show who was a member on the day.",
)
RAW_MEMBERS = raw_table(
    "raw_cursor_members", "Members of the team, including removed members that the API still lists.", snapshot=True
)
RAW_SPEND = raw_table(
    "raw_cursor_spend",
    "Cursor's own spend per member in the current billing cycle, which a check compares with the events.",
    snapshot=True,
)
RAW_GROUPS = raw_table("raw_cursor_groups", "Billing groups, if the plan has them (Enterprise).", snapshot=True)

EVENT_FIELDS = field_paths(
    "timestamp userEmail serviceAccountId serviceAccountName cloudAgentId automationId conversationId model kind "
    "maxMode isTokenBasedCall isChargeable isHeadless isFreeBugbot requestsCosts chargedCents cursorTokenFee",
    tokenUsage="inputTokens outputTokens cacheWriteTokens cacheReadTokens totalCents discountPercentOff",
)
DAILY_USAGE_FIELDS = field_paths(
    "userId day date email isActive totalLinesAdded totalLinesDeleted acceptedLinesAdded acceptedLinesDeleted "
    "totalApplies totalAccepts totalRejects totalTabsShown totalTabsAccepted composerRequests chatRequests "
    "agentRequests cmdkUsages subscriptionIncludedReqs apiKeyReqs usageBasedReqs bugbotUsages mostUsedModel "
    "applyMostUsedExtension tabMostUsedExtension clientVersion"
)
