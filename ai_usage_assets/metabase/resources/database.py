"""The connection to BigQuery."""

from __future__ import annotations

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.credentials import CredentialError
from ai_usage_assets.metabase.normalize import Normalized, normalize_database
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext
from ai_usage_assets.metabase.state import AppliedState, fingerprint

_SERVICE_ACCOUNT = "service account"
_DATASET = ("project-id", "dataset-filters-patterns")


class DatabaseResource(ManagedResource):
    """The connection. Metabase never returns its key, so the state has the key's fingerprint."""

    path = "/api/database"
    normalize = staticmethod(normalize_database)

    def __init__(self) -> None:
        super().__init__("database", render.DATABASE)

    def read_live(self, context: MetabaseContext) -> Normalized:
        last = context.state.get(_SERVICE_ACCOUNT)
        return {**super().read_live(context), _SERVICE_ACCOUNT: last.live if last else None}

    def build_desired(self, context: MetabaseContext) -> Normalized:
        last = context.state.get(_SERVICE_ACCOUNT)
        key = self._fingerprint_key(context) or (last.live if last else None)
        return {**super().build_desired(context), _SERVICE_ACCOUNT: key}

    def create(self, context: MetabaseContext) -> int:
        if not context.service_account:
            raise CredentialError(
                "AI_USAGE_METABASE_SERVICE_ACCOUNT is not set. Metabase needs the JSON key of a service account that "
                "may read the dataset: set a secret name or file:PATH."
            )
        # Metabase must not scan values: scans are billed queries.
        no_scans = {"is_full_sync": False, "is_on_demand": False, "connection_source": "admin"}
        number = self.create_once(context, {**self.build_body(context), **no_scans})
        self._record_key(context)
        return number

    def update(self, context: MetabaseContext) -> None:
        super().update(context)
        self._record_key(context)

    def discard(self, context: MetabaseContext, number: int) -> None:
        context.client.delete(f"{self.path}/{number}")

    def is_uninitialized(self, desired: Normalized, live: Normalized, last: AppliedState | None) -> bool:
        """Return True if only the key may differ: it is then sent again."""
        return last is None and live == {**desired, _SERVICE_ACCOUNT: None}

    def describe_target_change(self, desired: Normalized, live: Normalized) -> str:
        """Describe a change of the dataset: a wrong setting must not show readers another one."""
        before, after = ([str(each["details"].get(key, "")) for key in _DATASET] for each in (live, desired))
        # A connection without a dataset filter shows the desired dataset too.
        is_other = before != after and all(before)
        return f"shows {'.'.join(before)}; the settings say {'.'.join(after)}" if is_other else ""

    def build_body(self, context: MetabaseContext) -> render.Body:
        return render.render_database(context.project, context.dataset, context.service_account)

    def _fingerprint_key(self, context: MetabaseContext) -> str | None:
        return fingerprint({_SERVICE_ACCOUNT: context.service_account}) if context.service_account else None

    def _record_key(self, context: MetabaseContext) -> None:
        if key := self._fingerprint_key(context):
            context.state[_SERVICE_ACCOUNT] = AppliedState(0, key, key)
