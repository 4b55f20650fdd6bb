"""The views in BigQuery: creating and updating them, and restoring those that somebody changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

from google.api_core import exceptions as api
from google.cloud import bigquery
from google.cloud.bigquery.table import TableListItem

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.redaction import redact
from ai_usage_assets.warehouse.bigquery_jobs import LABELS, BigQueryJobs
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET, in_dataset
from ai_usage_assets.warehouse.tables import Table

logger = logging.getLogger(__name__)

Listed = Mapping[str, TableListItem]

# The digest of the definition of a table or view, and of a view the digest of the query that BigQuery stored. Together
# they reveal manual changes.
DEFINITION_LABEL, _STORED_LABEL = "ai-usage-definition", "ai-usage-stored"

_STORED_VIEWS = f"SELECT table_name, view_definition FROM {WRITTEN_DATASET}.INFORMATION_SCHEMA.VIEWS"


class BigQueryViews:
    """Views of one dataset."""

    def __init__(self, jobs: BigQueryJobs) -> None:
        self._jobs = jobs

    def digest(self, view: Table) -> str:
        """The value of the label DEFINITION_LABEL."""
        return digest(json.dumps([view.query, view.description, [(c.name, c.description) for c in view.columns]]))

    def find_edited(self, tables: Iterable[Table], listed: Listed) -> set[str]:
        """The names of views whose stored query may differ from what their labels say.

        Replacing a view removes its labels, but editing its query keeps them.
        """
        stored = {table.name: listed[table.name].labels.get(_STORED_LABEL) for table in tables if table.is_view}
        if not stored:
            return set()
        rows = self._jobs.query_table(_STORED_VIEWS, {}).to_pylist()
        digests = {row["table_name"]: digest(row["view_definition"]) for row in rows}
        return {name for name, expected in stored.items() if digests.get(name) != expected}

    def prepare(self, view: Table, existing: bigquery.Table | None) -> None:
        """Creates the view, or updates it unless it is as defined. Reports a manual change."""
        if existing is not None and existing.table_type != "VIEW":
            # An earlier version had a table of this name.
            self._jobs.client.delete_table(existing.reference, not_found_ok=True, **self._jobs.request_options)
            existing = None
        if existing is None:
            created = self._create(view)
            if created is not None:
                self._complete(view, created)
                return
            # Another container has created it.
            existing = self._jobs.get_table(view.name)
        labels = existing.labels
        # Without the second label, a run ended between the two requests.
        is_unchanged = DEFINITION_LABEL in labels and labels.get(_STORED_LABEL) in (None, digest(existing.view_query))
        is_complete = _STORED_LABEL in labels and existing.expires is None
        if is_unchanged and is_complete and labels[DEFINITION_LABEL] == self.digest(view):
            return
        if not is_unchanged:
            query = redact(" ".join(existing.view_query.split())[:500])
            logger.warning(
                "%s.%s was changed manually and has been restored; its query was: %s", self._jobs, view.name, query
            )
        existing.view_query = self._query(view)
        existing.description = view.description
        # None removes a label.
        existing.labels = {**labels, **self._labels(view), _STORED_LABEL: None}
        changed = ["view_query", "description", "labels"]
        self._complete(view, self._jobs.client.update_table(existing, changed, **self._jobs.request_options))

    def _create(self, view: Table) -> bigquery.Table | None:
        """Creates the view; None if it exists."""
        definition = bigquery.Table(f"{self._jobs}.{view.name}")
        definition.view_query = self._query(view)
        definition.description = view.description
        definition.labels = self._labels(view)
        try:
            return self._jobs.client.create_table(definition, **self._jobs.request_options)
        except api.Conflict:
            return None

    def _complete(self, view: Table, stored: bigquery.Table) -> None:
        """Describes the columns, which BigQuery infers from the query, and records the query that BigQuery stored."""
        descriptions = {column.name: column.description for column in view.columns}
        stored.schema = [
            bigquery.SchemaField.from_api_repr(field.to_api_repr() | {"description": descriptions.get(field.name)})
            for field in stored.schema
        ]
        stored.labels = {**stored.labels, _STORED_LABEL: digest(stored.view_query)}
        # The dataset's default expiration must not delete a view of the project.
        stored.expires = None
        self._jobs.client.update_table(stored, ["schema", "labels", "expires"], **self._jobs.request_options)

    def _query(self, view: Table) -> str:
        return in_dataset(view.query or "", self._jobs.dataset)

    def _labels(self, view: Table) -> dict[str, str]:
        return LABELS | {"layer": view.layer, DEFINITION_LABEL: self.digest(view)}


def digest(text: str) -> str:
    """A digest that fits into a label and a job id."""
    return sha256_hex(text, digits=32)
