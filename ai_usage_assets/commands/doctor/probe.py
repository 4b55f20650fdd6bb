"""`ai-usage doctor --probe`: asks the vendors' APIs what their documentation leaves open, and writes the answers.

Announces the number of requests first and only reads. A file that could contain a key, an id or an e-mail address is
not written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from ai_usage_assets.commands.diagnostics import (
    Diagnostic,
    Outcome,
    describe_versions,
    print_diagnostics,
    print_summary,
)
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.files import write_atomically
from ai_usage_assets.redaction import KEY_PATTERN
from ai_usage_assets.registry import KEY_VARIABLES_TEXT, load_source
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import Settings, SettingsError, is_loopback
from ai_usage_assets.sources.base import Source
from ai_usage_assets.sources.keys import resolve_key
from ai_usage_assets.sources.questions import BudgetedClient, Facts, QuestionResult, ask

_PERSONAL = re.compile(
    r"@|\b[A-Za-z]{2,14}_(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}\b|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
)


class ProbeError(OperatorError):
    """The answers cannot be written; the message says why."""


def run(settings: Settings, file: Path | None, console: Console) -> int:
    """Asks every configured vendor and writes the answers: 0 if all of them responded, else 1."""
    file = file or Path(f"ai-usage-probe-{settings.now():%Y-%m-%d}.json")
    if file.exists():
        raise SettingsError(f"{file} already exists and is not overwritten; name another file after --probe.")
    if not file.absolute().parent.is_dir():
        raise SettingsError(f"{file.absolute().parent} is not a folder; name another file after --probe.")
    if not settings.configured_sources:
        raise SettingsError(f"No vendor is configured: set {KEY_VARIABLES_TEXT}.")
    sources = [load_source(entry.name) for entry in settings.configured_sources]
    plans = [(source, *_open_client(source, settings)) for source in sources]
    for source, _, client in plans:
        limit = format_count(client.max_requests, "request")
        plan = f"at most {limit}. All of them only read." if client.max_requests else "no open questions, no requests."
        console.print(f"{source.label}: {plan}")
    if not any(source.load_questions() for source, _, _ in plans):
        print_summary("ok", f"There is nothing to ask; {file} is not written.", console)
        return 0
    document: Facts = {"versions": describe_versions(), "asked_at": settings.now().isoformat()}
    diagnostics: list[Diagnostic] = []
    for source, _, client in plans:
        answers = ask(client, source.load_questions(), settings.now().date())
        diagnostics += [_diagnose(source.label, answer) for answer in answers]
        if skipped := len(source.load_questions()) - len(answers):
            diagnostics.append(Diagnostic(source.label, "other questions", "info", f"{skipped} not asked"))
        document[source.name] = {
            "simulated": is_loopback(settings.sources[source.name].base_url),
            "requests": client.requests_sent,
            "questions": [
                {"name": answer.question.name, "question": answer.question.text}
                | ({"problem": answer.problem} if answer.facts is None else {"facts": answer.facts})
                for answer in answers
            ],
        }
    answered = sum(line.outcome == "ok" for line in diagnostics)
    # Printed first, so that the answers are not lost if the file cannot be written.
    has_failed = "error" in print_diagnostics(diagnostics, console)
    if answered:
        write(file, document, [key for _, key, _ in plans])
    summary = f"{answered} of {len(diagnostics)} questions are answered in {file}. Read it before sharing it."
    summary = summary if answered else f"No question is answered; {file} is not written."
    print_summary("ok" if answered and not has_failed else "error", summary, console)
    return int(has_failed or not answered)


def _open_client(source: Source, settings: Settings) -> tuple[str, BudgetedClient]:
    own = settings.sources[source.name]
    key = resolve_key(source.name, own.key or "", settings.secrets_emulator)
    client = source.connect(lambda: key, own.base_url, pacing=settings.pacing)
    return key, BudgetedClient(client, source.load_questions(), settings.now().date())


def _diagnose(section: str, answer: QuestionResult) -> Diagnostic:
    if answer.facts is None:
        outcome: Outcome = "error" if answer.failed else "info"
        return Diagnostic(section, answer.question.name, outcome, answer.problem)
    facts = json.dumps(answer.facts, default=str)[1:-1].replace('"', "")
    return Diagnostic(section, answer.question.name, "ok", facts)


def write(file: Path, document: Facts, keys: Iterable[str]) -> None:
    """Writes the document to a file. Raises ProbeError if it could contain a key, an id or an e-mail address."""
    text = json.dumps(document, indent=2, default=str) + "\n"
    if any(key and key in text for key in keys) or KEY_PATTERN.search(text) or _PERSONAL.search(text):
        raise ProbeError("The answers seem to contain a key, an id or an e-mail address, and are not written.")
    try:
        write_atomically(file, text)
    except OSError as error:
        raise ProbeError(f"{file} cannot be written: {error.strerror}.") from None
