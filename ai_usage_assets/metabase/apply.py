"""Brings a Metabase to what is wanted, or only says what that would change.

Belongs here: the order, what is written and what is left, that what was written can be read. Does not: how (`objects`),
whose doing a difference is (`plan`). Planning is the same walk without writing, so a plan is what would be done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ai_usage_assets.metabase import api_models, normalize
from ai_usage_assets.metabase.client import MetabaseError
from ai_usage_assets.metabase.objects import (
    CardResource,
    CollectionPermissions,
    DashboardResource,
    ManagedResource,
    MetabaseContext,
    StateCard,
    build_stages,
)
from ai_usage_assets.metabase.plan import NOT_YET, AppliedState, Change, classify_drift, describe_differences, digest
from ai_usage_assets.metabase.spec import Spec

_BY_HAND = "made by hand among what is managed"


class TargetMismatch(MetabaseError):
    """To write it would show readers something else altogether, and nobody has asked for that."""


class ReadBackMismatch(MetabaseError):
    """What was written reads back otherwise; the message names the object and where."""


def plan(site: MetabaseContext, spec: Spec) -> list[Change]:
    """What is not as it is wanted; nothing is changed. Raises MetabaseError."""
    found: list[Change] = []
    Reconciler(site, spec, found.append, writes=False, restores=False).go()
    return found


def plan_of_nothing(spec: Spec) -> list[Change]:
    """The plan for a Metabase in which there is nothing, and nobody to ask it."""
    return [Change("+", thing.key, thing.name) for stage in build_stages(spec) for thing in stage]


def apply(site: MetabaseContext, spec: Spec, tell: Callable[[Change], None], *, restore: bool = False) -> None:
    """Makes everything as it is wanted, telling each change when it is done, and what is left as it was edited by hand.

    With `restore`, edits by hand are overwritten. Raises MetabaseError; what was done until then is remembered.
    """
    Reconciler(site, spec, tell, writes=True, restores=restore).go()


class Reconciler:
    """Once through everything that is managed."""

    def __init__(
        self, site: MetabaseContext, spec: Spec, tell: Callable[[Change], None], *, writes: bool, restores: bool
    ) -> None:
        self._site = site
        self._stages = build_stages(spec.in_dataset(site.dataset))
        self._listener = tell
        self._has_told = False
        self._writes = writes
        self._restores = restores
        self._made: set[str] = set()
        # Whether nobody else writes where the memory is.
        self._is_closed = False
        self._memory = StateCard()

    def go(self) -> None:
        """Runs it."""
        self._memory.recall(self._site)
        try:
            for stage in self._stages:
                # All of a stage are there before one is written: dashboards link to each other.
                there = [thing for thing in stage if self._is_there(thing)]
                for thing in there:
                    self._settle(thing)
                    self._is_closed |= isinstance(thing, CollectionPermissions)
            self._archive()
        except BaseException:
            if self._writes:
                # The next run shall know what was ours; why this one ended is told by the first error.
                with suppress(MetabaseError):
                    self._remember()
            raise
        self._remember()

    def _tell(self, change: Change) -> None:
        self._has_told = True
        self._listener(change)

    def _is_there(self, thing: ManagedResource) -> bool:
        number = thing.find(self._site)
        if number is None:
            if self._writes:
                number = thing.make(self._site)
                self._made.add(thing.key)
                # Ours, even if this ends before it is looked at.
                self._site.memory[thing.key] = AppliedState(number, NOT_YET, NOT_YET)
            else:
                self._tell(Change("+", thing.key, thing.name))
        if number is not None:
            self._site.known[thing.key] = number
        return number is not None

    def _settle(self, thing: ManagedResource) -> None:
        site = self._site
        wanted, live = thing.wanted(site), thing.read(site)
        last = site.memory.get(thing.key)
        change = None
        if thing.key in self._made:
            change = Change("+", thing.key, thing.name)
        elif sign := classify_drift(
            wanted,
            live,
            last,
            is_unwritten=thing.is_unwritten(wanted, live, last) or not self._made.isdisjoint(thing.of),
            is_held=self._is_as_wanted(thing, wanted, live),
        ):
            moved = thing.moved(wanted, live)
            change = Change("!" if moved else sign, thing.key, thing.name, moved or describe_differences(wanted, live))
            if moved and self._writes and not self._restores:
                raise TargetMismatch(
                    f"{thing.name} {moved}: nothing was written. Set GOOGLE_CLOUD_PROJECT and AI_USAGE_DATASET as they "
                    "are meant, or say --restore, and everybody sees the latter from then on."
                )
        if change and (not self._writes or (change.sign == "!" and not self._restores)):
            self._tell(change)
            return
        if change:
            if change.sign != "+" or not self._is_as_wanted(thing, wanted, live):
                thing.write(site)
                wanted, live = thing.wanted(site), thing.read(site)
            site.memory[thing.key] = AppliedState(site.known[thing.key], NOT_YET, digest(live))
            self._confirm(thing, wanted, live)
            self._tell(replace(change, done=True))
        site.memory[thing.key] = AppliedState(site.known[thing.key], digest(wanted), digest(live))

    def _confirm(self, thing: ManagedResource, wanted: normalize.Form, live: normalize.Form) -> None:
        if not self._is_as_wanted(thing, wanted, live):
            raise ReadBackMismatch(
                f"{thing.key} ({thing.name}) was written, and reads back otherwise: "
                f"{describe_differences(wanted, live, is_whole=thing.is_exact)}. This version of Metabase may not know the key; "  # noqa: E501
                "nothing after it was written."
            )

    @staticmethod
    def _is_as_wanted(thing: ManagedResource, wanted: normalize.Form, live: normalize.Form) -> bool:
        return not describe_differences(wanted, live, is_whole=thing.is_exact)

    def _archive(self) -> None:
        """What is among the managed and not wanted: ours goes; what somebody made there, only when asked."""
        site = self._site
        wanted = {(thing.path, site.known[thing.key]) for stage in self._stages for thing in stage}
        # Every kind counts its ids by itself.
        ours = {(path, one.id): key for key, one in site.memory.items() if (path := _path(key))}
        for item in [*site.items("collection"), *site.items("collection behind")]:
            path = DashboardResource.path if item["model"] == "dashboard" else CardResource.path
            # The memory may be another run's, which works at the same time.
            if (path, item.id) in wanted or item["name"] == self._memory.name:
                continue
            key = ours.get((path, item.id))
            shown = key or f"{item['model']} {item.id}"
            change = Change("-" if key else "!", shown, item["name"], "" if key else _BY_HAND)
            if self._writes and (key or self._restores):
                self._put_away(f"{path}/{item.id}", key)
                change = replace(change, done=True)
            self._tell(change)

    def _put_away(self, path: str, key: str | None) -> None:
        self._site.server.put(path, api_models.Archived(archived=True))
        raw = self._site.server.get(path)
        if not raw.get("archived"):
            raise ReadBackMismatch(f"{path} was archived, and reads back as if it were not.")
        if key:
            # It may be wanted again, and is ours then.
            with self._site.server.reading(path):
                form = normalize.dashboard(raw) if path.startswith(DashboardResource.path) else normalize.card(raw)
            self._site.memory[key] = replace(self._site.memory[key], wanted=NOT_YET, found=digest(form))

    def _remember(self) -> None:
        """Last: what was written, and what was found to be as it is wanted; told only where it is all there is."""
        site, card = self._site, self._memory
        if self._writes and not self._is_closed:
            # It ended before it came there, or where anybody may write: what is remembered stays as it is.
            return
        number = card.find(site)
        site.known[card.key] = number or 0
        if number and self._is_as_wanted(card, *card.merged(site)):
            return
        if not self._has_told:
            self._tell(Change("~" if number else "+", card.key, card.name, done=self._writes))
        if not self._writes:
            return
        if not number:
            site.known[card.key] = card.make(site)
        if not self._is_as_wanted(card, *card.merged(site)):
            card.write(site)
            self._confirm(card, *card.merged(site))


def _path(key: str) -> str | None:
    """Where a card or a dashboard of that key is; None for what is neither."""
    kind = key.partition(" ")[0]
    return {"card": CardResource.path, "filter": CardResource.path, "dashboard": DashboardResource.path}.get(kind)
