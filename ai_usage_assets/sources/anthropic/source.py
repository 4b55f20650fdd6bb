"""Anthropic: billed dollars and tokens per actor, key, workspace, model and product, and the directory of names.

Analytics is the bill. Its ungrouped and component queries are control totals, the classic cost report is an independent
one, and Claude Code analytics gives productivity only.
"""

from __future__ import annotations

from ai_usage_assets.registry import source_entry
from ai_usage_assets.sources.anthropic import analytics, directory, reports
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.anthropic.probes import PROBES
from ai_usage_assets.sources.anthropic.tables import NAME, RAW_COST
from ai_usage_assets.sources.base import KeyKind, Source

SOURCE = Source(
    entry=source_entry(NAME),
    connect=AnthropicClient,
    extracts=(analytics.EXTRACT, *reports.EXTRACTS, *directory.EXTRACTS),
    probes=PROBES,
    key_kinds=(
        KeyKind("sk-ant-admin", "an Admin key of the Console"),
        KeyKind("sk-ant-api01-", "a scoped key of Claude Enterprise"),
        KeyKind("sk-ant-api", "a workspace's key, which cannot read the organization", is_rejected=True),
        KeyKind("sk-ant-oat", "a login of Claude Code, which cannot read the organization", is_rejected=True),
    ),
    required_key="an Admin key (Console, Settings, Admin keys), or an analytics key of Claude Enterprise.",
    money_tables={"billed": (RAW_COST,)},
)
