"""The raw tables of Anthropic, and the fields and values that are documented for their records."""

from __future__ import annotations

from decimal import Decimal

from ai_usage_assets.sources.records import field_paths
from ai_usage_assets.warehouse.raw_tables import raw_table

NAME = "anthropic"

RAW_COST = raw_table(
    "raw_anthropic_cost", "Billed cost per actor, API key, workspace, model and product (analytics/cost)."
)
RAW_COST_TOTAL = raw_table(
    "raw_anthropic_cost_total", "Billed cost of the day in one row, the control total (analytics/cost, ungrouped)."
)
RAW_COST_COMPONENTS = raw_table(
    "raw_anthropic_cost_components",
    "Billed cost per workspace, model, cost type and token type (analytics/cost).",
)
RAW_COST_BY_ACTOR_TYPE = raw_table(
    "raw_anthropic_cost_by_actor_type", "Billed cost per type of actor, a second control total (analytics/cost)."
)
RAW_USAGE = raw_table("raw_anthropic_usage", "Tokens and requests at the grain of the billed cost (analytics/usage).")
RAW_USAGE_TOTAL = raw_table(
    "raw_anthropic_usage_total", "Tokens of the day in one row, the control total (analytics/usage, ungrouped)."
)
RAW_COST_REPORT = raw_table(
    "raw_anthropic_cost_report",
    "The bucket of the day in the classic cost report, an independent control total (cost_report).",
)
RAW_CLAUDE_CODE = raw_table(
    "raw_anthropic_claude_code",
    "Claude Code sessions, lines, commits and pull requests per developer (usage_report/claude_code). Its dollars are "
    "list-price estimates and are never added to cost.",
)
RAW_ORGANIZATION = raw_table("raw_anthropic_organization", "Organization that the key belongs to (me).", snapshot=True)
RAW_USERS = raw_table("raw_anthropic_users", "Members of the organization (users).", snapshot=True)
RAW_API_KEYS = raw_table("raw_anthropic_api_keys", "API keys in every status (api_keys).", snapshot=True)
RAW_WORKSPACES = raw_table(
    "raw_anthropic_workspaces", "Workspaces, including archived and default ones (workspaces).", snapshot=True
)
RAW_WORKSPACE_MEMBERS = raw_table(
    "raw_anthropic_workspace_members", "The members of each workspace (workspaces/{id}/members).", snapshot=True
)

# Anthropic may round each row to a millionth of a cent.
ROW_ROUNDING_USD = Decimal("1e-8")

# Documented values. Each list is open; a check reports new values.
PRODUCTS = frozenset(
    {
        "cc_security_autopatch", "chat", "chat_cowork_unified", "claude_code", "claude_console", "claude_design",
        "claude_in_chrome", "claude_tag", "cowork", "managed_agents_api", "message_batches_api", "messages_api",
        "office_agent", "other",
    }
)  # fmt: skip
ACTOR_TYPES = frozenset({"api_actor", "federated_actor", "service_account_actor", "user_actor"})
# Cost types, and the token types of cost type `tokens`.
COMPONENTS = frozenset(
    {
        "code_execution", "session_usage", "web_search",
        "cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens",
        "cache_read_input_tokens", "output_tokens", "uncached_input_tokens",
    }
)  # fmt: skip

_GROUP_FIELDS = field_paths(
    "starting_at ending_at",
    group="actor actor_type agent_id api_key_id claude_tag_category claude_tag_user_id context_window deployment_id "
    "environment_id inference_geo model organization_id product rbac_group_id service_tier session_id slack_channel_id "
    "speed user_profile_id workspace_id cost_type token_type",
    group__actor="type user_id email_address name deleted service_account_id api_key_id provider subject",
    group__actor__provider="type account_id signed_principal subscription_id project_number issuer",
)
COST_FIELDS = _GROUP_FIELDS | field_paths(cost="amount list_amount currency requests")
USAGE_FIELDS = _GROUP_FIELDS | field_paths(
    usage="uncached_input_tokens cache_read_input_tokens output_tokens requests total_tokens",
    usage__cache_creation="ephemeral_5m_input_tokens ephemeral_1h_input_tokens",
    usage__server_tool_use="web_search_requests",
)
COST_REPORT_FIELDS = field_paths(
    "starting_at ending_at",
    results="amount currency workspace_id description cost_type token_type model service_tier context_window "
    "inference_geo",
)
