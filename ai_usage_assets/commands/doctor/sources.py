"""Tests the vendors: key, proxy, every endpoint, and the clock of this machine against theirs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import msgspec

from ai_usage_assets import days
from ai_usage_assets.commands.diagnostics import Diagnostic, Outcome, error_diagnostic
from ai_usage_assets.http.errors import ApiError, TransientApiError
from ai_usage_assets.http.retry import HttpRetryPolicy
from ai_usage_assets.http.transport import describe_proxy
from ai_usage_assets.secret_manager import SecretError, resolve_secret, version_read
from ai_usage_assets.settings import Settings, SettingsError, is_loopback
from ai_usage_assets.sources.base import EndpointNotAvailable, InvalidRecordError, Source, SourceClient
from ai_usage_assets.sources.keys import identify_key

# A person waits for the result: one retry, and no long waits.
INTERACTIVE_RETRIES = HttpRetryPolicy(
    max_attempts=2, first_wait_seconds=0.5, max_wait_seconds=5, total_wait_seconds=5, attempt_seconds=20
)
# After this many endpoints in a row without a response, the vendor counts as down.
_MAX_UNANSWERED = 2
# Status codes that every other endpoint would answer too; None is a connection that failed.
_HOPELESS_STATUS = (None, 401, 402)
_MAX_SKEW_SECONDS = 300


def diagnose_source(source: Source, settings: Settings) -> Iterator[Diagnostic]:
    """Tests one vendor. A key of another vendor is not sent."""
    variable = source.entry.key_variable
    configured = settings.sources[source.name]
    if not configured.key:
        message = f"{variable} is not set, so no usage of {source.label} is loaded"
        yield Diagnostic(source.label, "key", "info", message)
        return
    try:
        key = resolve_secret(
            configured.key, settings.secrets_emulator, total_seconds=INTERACTIVE_RETRIES.attempt_seconds
        )
    except SecretError as error:
        yield error_diagnostic(source.label, "key", str(error))
        return
    version = version_read(configured.key)
    secret = configured.key.partition("/versions/")[0]
    place = f"Secret Manager, {secret}, version {version}" if version else variable
    diagnostic = _diagnose_key(source, key, place)
    yield diagnostic
    if diagnostic.outcome == "error":
        return
    proxy = diagnose_proxy(source.label, configured.base_url)
    if proxy:
        yield proxy
        if proxy.outcome == "error":
            return
    if is_loopback(configured.base_url):
        message = f"{configured.base_url} is on this machine: a simulator, not the vendor"
        yield Diagnostic(source.label, "address", "info", message)
    client = source.connect(lambda: key, configured.base_url, pacing=settings.pacing, retry_policy=INTERACTIVE_RETRIES)
    try:
        yield from _diagnose_endpoints(source, client, days.last_finished_day(settings.now()))
        if client.server_date:
            yield _diagnose_clock(source.label, client.server_date)
    finally:
        client.close()


def diagnose_proxy(section: str, url: str) -> Diagnostic | None:
    """The proxy to a URL; None when there is none."""
    try:
        proxy = describe_proxy(url)
    except SettingsError as error:
        return Diagnostic(section, "proxy", "error", *str(error).split("; ", 1))
    return Diagnostic(section, "proxy", "ok", f"requests go through {proxy}") if proxy else None


def diagnose_failure(section: str, subject: str, error: ApiError) -> Diagnostic:
    """A request that failed, after its retries."""
    status = f"status {error.status}: " if error.status is not None else ""
    attempts = f", {error.attempts} attempts" if error.attempts > 1 else ""
    request = f" (request {error.request_id})" if error.request_id else ""
    return Diagnostic(section, subject, "error", f"{status}{error.detail}{attempts}{request}", error.next_step)


def _diagnose_key(source: Source, key: str, place: str) -> Diagnostic:
    required = f"Required: {source.required_key}"
    match identify_key(key):
        case None:
            message = f"{place} does not start like a key of {source.label}"
            return Diagnostic(source.label, "key", "warning", message, required)
        case (owner, kind) if owner.name != source.name:
            message = f"{place} contains {kind.description}; it was not sent to {source.label}"
            return Diagnostic(source.label, "key", "error", message, required)
        case (_, kind) if kind.is_rejected:
            return Diagnostic(source.label, "key", "warning", f"{place} contains {kind.description}", required)
        case (_, kind):
            return Diagnostic(source.label, "key", "ok", f"{kind.description} ({place})")


def _diagnose_endpoints(source: Source, client: SourceClient, day: date) -> Iterator[Diagnostic]:
    unanswered = 0
    for number, probe in enumerate(source.probes):
        try:
            result = probe.run(client, day)
        except EndpointNotAvailable as error:
            reason = (str(error).partition(": ")[2] or str(error)).replace(".: ", ": ")
            yield Diagnostic(source.label, probe.endpoint, "info", f"not available to this key or plan: {reason}")
        except ApiError as error:
            yield diagnose_failure(source.label, probe.endpoint, error)
            unanswered += isinstance(error, TransientApiError)
            remaining = [later.endpoint for later in source.probes[number + 1 :]]
            if remaining and (error.status in _HOPELESS_STATUS or unanswered == _MAX_UNANSWERED):
                message = f"not tested after this error: {', '.join(remaining)}"
                yield Diagnostic(source.label, f"{len(remaining)} more", "info", message)
                return
        except (InvalidRecordError, msgspec.MsgspecError) as error:
            message = f"unexpected response: {error}"
            advice = "Report this response; a run would reject it too."
            yield Diagnostic(source.label, probe.endpoint, "error", message, advice)
        else:
            unanswered = 0
            outcome: Outcome = "warning" if result.next_step else "ok"
            yield Diagnostic(source.label, probe.endpoint, outcome, result.text, result.next_step)


def _diagnose_clock(label: str, server_date: str) -> Diagnostic:
    try:
        server_time = parsedate_to_datetime(server_date)
        if server_time.tzinfo is None:
            server_time = server_time.replace(tzinfo=UTC)
        seconds = (datetime.now(UTC) - server_time).total_seconds()
    except (ValueError, OverflowError):
        return Diagnostic(label, "clock", "info", f"{label} sends no time to compare with")
    if abs(seconds) <= _MAX_SKEW_SECONDS:
        return Diagnostic(label, "clock", "ok", f"the clocks of this machine and of {label} agree")
    message = f"this machine is {abs(seconds) / 60:,.0f} min {'ahead of' if seconds > 0 else 'behind'} {label}"
    return Diagnostic(label, "clock", "warning", message, "Set the clock (NTP): it decides which days are finished.")
