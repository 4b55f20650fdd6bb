"""Plan and apply: reconcile a Metabase with the spec. A plan performs the same steps as an apply, without writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ai_usage_assets.metabase.client import MetabaseError
from ai_usage_assets.metabase.normalize import Normalized, normalize_card, normalize_dashboard
from ai_usage_assets.metabase.plan import Change, classify_drift, describe_differences
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext
from ai_usage_assets.metabase.resources.card import CardResource, StateCard
from ai_usage_assets.metabase.resources.dashboard import DashboardResource
from ai_usage_assets.metabase.resources.permissions import CollectionPermissions
from ai_usage_assets.metabase.resources.stages import build_stages
from ai_usage_assets.metabase.spec_models import Spec
from ai_usage_assets.metabase.state import PENDING, AppliedState, fingerprint


class TargetMismatch(MetabaseError):
    """The settings name another dataset than the one Metabase shows."""


class ReadBackMismatch(MetabaseError):
    """An object reads back differently from what was written. The message names the object and the key."""


def plan(context: MetabaseContext, spec: Spec) -> list[Change]:
    """Return what apply would change. Raises MetabaseError."""
    changes: list[Change] = []
    Reconciler(context, spec, changes.append, writes=False, restores=False).run()
    return changes


def plan_empty(spec: Spec) -> list[Change]:
    """Return the plan for a Metabase that is not set up yet."""
    return [Change("+", resource.key, resource.name) for stage in build_stages(spec) for resource in stage]


def apply(context: MetabaseContext, spec: Spec, report: Callable[[Change], None], *, restore: bool = False) -> None:
    """Reconcile Metabase with the spec, and report each change once it is applied.

    Manual edits are reported and kept; `restore` overwrites them. Raises MetabaseError; the state of what was applied
    until then is saved.
    """
    Reconciler(context, spec, report, writes=True, restores=restore).run()


class Reconciler:
    """One pass over all managed resources."""

    def __init__(
        self, context: MetabaseContext, spec: Spec, report: Callable[[Change], None], *, writes: bool, restores: bool
    ) -> None:
        self._context = context
        self._stages = build_stages(spec.in_dataset(context.dataset))
        self._report_change = report
        self._has_reported = False
        self._writes = writes
        self._restores = restores
        self._created: set[str] = set()
        # Whether the collection with the state is already protected from other groups.
        self._is_protected = False
        self._state_card = StateCard()

    def run(self) -> None:
        """Reconcile every resource, archive what is no longer in the spec, and save the state."""
        self._state_card.load(self._context)
        try:
            for stage in self._stages:
                # Create all of a stage before writing one: dashboards link to each other.
                for resource in [each for each in stage if self._ensure_exists(each)]:
                    self._reconcile(resource)
                    self._is_protected |= isinstance(resource, CollectionPermissions)
            self._archive_unmanaged()
        except BaseException:
            if self._writes:
                # Keep the first error.
                with suppress(MetabaseError):
                    self._save_state()
            raise
        self._save_state()

    def _report(self, change: Change) -> None:
        self._has_reported = True
        self._report_change(change)

    def _ensure_exists(self, resource: ManagedResource) -> bool:
        """Find or create the object; a plan only reports that it would be created."""
        context = self._context
        number = resource.find(context)
        if number is None and not self._writes:
            self._report(Change("+", resource.key, resource.name))
            return False
        if number is None:
            number = resource.create(context)
            self._created.add(resource.key)
            # Ours, even if this run ends before it writes the object.
            context.state[resource.key] = AppliedState(number, PENDING, PENDING)
        context.ids[resource.key] = number
        return True

    def _reconcile(self, resource: ManagedResource) -> None:
        context = self._context
        desired, live = resource.build_desired(context), resource.read_live(context)
        change = self._classify(resource, desired, live)
        if change and (not self._writes or (change.sign == "!" and not self._restores)):
            self._report(change)
            return
        if change:
            if change.sign != "+" or not _matches(resource, desired, live):
                resource.update(context)
                desired, live = resource.build_desired(context), resource.read_live(context)
            self._record(resource, PENDING, fingerprint(live))
            _verify_written(resource, desired, live)
            self._report(replace(change, is_applied=True))
        self._record(resource, fingerprint(desired), fingerprint(live))

    def _classify(self, resource: ManagedResource, desired: Normalized, live: Normalized) -> Change | None:
        """Return the change to make, or None. Raises TargetMismatch."""
        if resource.key in self._created:
            return Change("+", resource.key, resource.name)
        last = self._context.state.get(resource.key)
        is_new = resource.is_uninitialized(desired, live, last) or not self._created.isdisjoint(resource.belongs_to)
        sign = classify_drift(
            desired, live, last, is_uninitialized=is_new, has_only_additions=_matches(resource, desired, live)
        )
        if not sign:
            return None
        target = resource.describe_target_change(desired, live)
        if target and self._writes and not self._restores:
            raise TargetMismatch(
                f"{resource.name} {target}. Nothing was changed. Correct GOOGLE_CLOUD_PROJECT or AI_USAGE_DATASET, or "
                "use --restore to show every reader the dataset of the settings."
            )
        details = target or describe_differences(desired, live)
        return Change("!" if target else sign, resource.key, resource.name, details)

    def _record(self, resource: ManagedResource, desired: str, live: str) -> None:
        self._context.state[resource.key] = AppliedState(self._context.ids[resource.key], desired, live)

    def _archive_unmanaged(self) -> None:
        """Archive objects that are no longer in the spec. Objects that people created are archived only on restore."""
        context = self._context
        managed = {(resource.path, context.ids[resource.key]) for stage in self._stages for resource in stage}
        # Ids are unique per kind only.
        ours = {(path, one.id): key for key, one in context.state.items() if (path := _path_of(key))}
        for item in [*context.list_items("collection"), *context.list_items("support collection")]:
            path = DashboardResource.path if item["model"] == "dashboard" else CardResource.path
            # A concurrent run may have created its own state card.
            is_state = item.id == context.ids[self._state_card.key] or item["name"] == self._state_card.name
            if (path, item.id) in managed or (is_state and path == CardResource.path):
                continue
            key = ours.get((path, item.id))
            change = (
                Change("-", key, item["name"])
                if key
                else Change("!", f"{item['model']} {item.id}", item["name"], "created manually in a managed collection")
            )
            if self._writes and (key or self._restores):
                self._archive(f"{path}/{item.id}", key)
                change = replace(change, is_applied=True)
            self._report(change)

    def _archive(self, path: str, key: str | None) -> None:
        client = self._context.client
        client.put(path, {"archived": True})
        raw = client.get(path)
        if not raw.get("archived"):
            raise ReadBackMismatch(f"{path} was archived, but reads back as not archived.")
        if key:
            # The object is still ours if the spec contains it again.
            with client.parsing(path):
                live = normalize_dashboard(raw) if path.startswith(DashboardResource.path) else normalize_card(raw)
            self._context.state[key] = replace(self._context.state[key], desired=PENDING, live=fingerprint(live))

    def _save_state(self) -> None:
        """Write the state card. A change of it is reported only if it is the only one."""
        context, card = self._context, self._state_card
        if self._writes and not self._is_protected:
            # The run ended before the collection was protected.
            return
        number = card.find(context)
        context.ids[card.key] = number or 0
        if number and _matches(card, *card.merge(context)):
            return
        if not self._has_reported:
            self._report(Change("~" if number else "+", card.key, card.name, is_applied=self._writes))
        if not self._writes:
            return
        if not number:
            context.ids[card.key] = card.create(context)
        if not _matches(card, *card.merge(context)):
            card.update(context)
            _verify_written(card, *card.merge(context))


def _matches(resource: ManagedResource, desired: Normalized, live: Normalized) -> bool:
    return not describe_differences(desired, live, is_exact=resource.is_exact)


def _verify_written(resource: ManagedResource, desired: Normalized, live: Normalized) -> None:
    if not _matches(resource, desired, live):
        raise ReadBackMismatch(
            f"{resource.key} ({resource.name}) reads back differently from what was written: "
            f"{describe_differences(desired, live, is_exact=resource.is_exact)}. This version of Metabase may not "
            "support the key. Nothing was written after it."
        )


def _path_of(key: str) -> str | None:
    """Return the API path of a card's or dashboard's key; None for other keys."""
    kind = key.partition(" ")[0]
    return {"card": CardResource.path, "filter": CardResource.path, "dashboard": DashboardResource.path}.get(kind)
