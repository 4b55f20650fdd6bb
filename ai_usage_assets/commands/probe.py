"""`ai-usage doctor --probe`: what nobody knows of the vendors' APIs for sure, asked once with a real key.

Belongs here: telling the cost before, going through the questions, and a file of answers that can be shown to anybody.
Does not: the questions (`vendors/*_questions`). The answers are shapes, counts and differences; before anything is
written, whatever still names a person, a key or an id is taken out, and a file that might hold a key or an address is
not written at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from ai_usage_assets.commands.doctor.diagnostics import (
    Diagnostic,
    Outcome,
    describe_versions,
    print_diagnostics,
    print_summary,
)
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.redaction import KEY_PATTERN, redact
from ai_usage_assets.registry import KEY_VARIABLES_TEXT
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import Settings, SettingsError, is_loopback
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.anthropic.questions import AnthropicQuestions
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.sources.cursor.questions import CursorQuestions
from ai_usage_assets.sources.keys import resolve_key
from ai_usage_assets.sources.questions import BudgetSpent, Facts, NotAnswered, Question, Unanswered

Questions = AnthropicQuestions | CursorQuestions

_ADDRESS = re.compile(r"[^\s\"']@[^\s\"']")
_ID = re.compile(r"\b([A-Za-z]{2,14}_)(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}\b")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_KEY_REFUSED, _UNANSWERED = 401, 2
_UNUSUAL = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)


class ProbeError(OperatorError):
    """The answers cannot be kept; the message says why."""


def run(settings: Settings, file: Path | None, console: Console, *, rate_limit: bool = False) -> int:
    """Asks, tells and writes: 0 when every vendor that is configured answered, else 1."""
    file = file or Path(f"ai-usage-probe-{settings.now():%Y-%m-%d}.json")
    if file.exists():
        raise SettingsError(f"{file} is there already and is not overwritten; give another name after --probe.")
    if not file.absolute().parent.is_dir():
        raise SettingsError(f"{file.absolute().parent} is not a folder; give another name after --probe.")
    asked, keys = _questions(settings, rate_limit=rate_limit)
    for one in asked:
        console.print(f"{one.vendor.capitalize()} will be asked at most {one.most_requests} times. Nothing but reads.")
    console.print("The limits are shared with whoever else uses the keys; with pauses it takes a minute or two.")
    document: Facts = {
        "what": "One run of `ai-usage doctor --probe`: what the vendors' APIs answer to questions about themselves. "
        "Without keys, people and ids.",
        "made_by": describe_versions(),
        "day": f"{settings.now():%Y-%m-%d}",
    }
    outcomes = print_diagnostics((finding for one in asked for finding in _answers(one, document)), console)
    if "ok" not in outcomes:
        print_summary("error", f"No question is answered, so {file} is not written.", console)
        return 1
    personal = {text for one in asked for text in one.ask.personal}
    for entry in settings.configured_sources:
        if entry.name in document:
            document[entry.name] = _finished(document[entry.name], settings.sources[entry.name].base_url, personal)
    write(file, document, keys, personal)
    failed = outcomes.count("error")
    told = f"{outcomes.count('ok')} of {len(outcomes)} questions are answered, in {file}. Read it before you share it."
    print_summary("error" if failed else "ok", told, console)
    return int(bool(failed))


def _questions(settings: Settings, *, rate_limit: bool) -> tuple[list[Questions], list[str]]:
    asked: list[Questions] = []
    keys: list[str] = []
    now, pacing = settings.now(), settings.pacing
    try:
        anthropic, cursor = settings.sources["anthropic"], settings.sources["cursor"]
        if anthropic.key:
            keys.append(resolve_key("anthropic", anthropic.key, settings.secrets_emulator))
            asked.append(AnthropicQuestions(AnthropicClient(lambda: keys[0], anthropic.base_url, pacing=pacing), now))
        if cursor.key:
            keys.append(resolve_key("cursor", cursor.key, settings.secrets_emulator))
            asked.append(
                CursorQuestions(CursorClient(lambda: keys[-1], cursor.base_url, pacing=pacing), now, burst=rate_limit)
            )
    except SecretError as error:
        raise ProbeError(str(error)) from None
    if not asked:
        raise SettingsError(f"No vendor is configured: set {KEY_VARIABLES_TEXT}.")
    return asked, keys


def _answers(asked: Questions, document: Facts) -> Iterator[Diagnostic]:
    """Each question when it is answered; the answers go into the document."""
    notes: list[Facts] = []
    section: Facts = {"requests_at_most": asked.most_requests, "requests": 0, "header_names": {}, "questions": notes}
    document[asked.vendor] = section
    room = asked.vendor.capitalize()
    failures = 0
    for number, question in enumerate(asked.questions()):
        asked.ask.noted = []
        answer, finding = _answer(asked, question, room)
        note = {"name": question.name, "question": question.text}
        notes.append(note | scrubbed(answer | {"asked": asked.ask.noted}, asked.ask.personal))
        section["requests"] = asked.ask.spent
        section["header_names"] = dict(sorted(asked.ask.header_names.items()))
        yield finding
        failures = failures + 1 if finding.outcome == "error" else 0
        # Who is refused at the door, or hears nothing twice, need not go on knocking.
        if failures and (number == 0 or failures == _UNANSWERED):
            yield Diagnostic(room, "the others", "info", "not asked after that", "`ai-usage doctor` tells more.")
            return


def _answer(asked: Questions, question: Question, room: str) -> tuple[Facts, Diagnostic]:
    outcome: Outcome = "info"
    step = ""
    try:
        answer = question.answer()
    except (NotAnswered, BudgetSpent) as reason:
        told = str(reason)
        refused = bool(asked.ask.noted) and asked.ask.noted[-1].get("status") == _KEY_REFUSED
        outcome = "error" if refused or isinstance(reason, Unanswered) else "info"
    except ApiError as failure:
        outcome, told, step = "error", failure.detail, failure.next_step
    except _UNUSUAL as error:
        # Its text might quote what it stumbled over.
        told = f"the answer has a shape that nobody expected ({type(error).__name__})"
    else:
        told = scrubbed(answer.told, asked.ask.personal)
        return {"told": told, "facts": answer.facts}, Diagnostic(room, question.name, "ok", told)
    told = scrubbed(told, asked.ask.personal)
    return {"not_answered": told}, Diagnostic(room, question.name, outcome, told, step)


# --- what is kept -------------------------------------------------------------------------------------------------


def scrubbed(value: Any, personal: Iterable[str]) -> Any:
    """The same without keys, addresses, ids and anything of `personal`; names of fields too."""
    # The longer first: one may be a part of another.
    known = [(one.casefold(), one) for one in sorted(personal, key=len, reverse=True)]

    def without(text: str, *, addresses: bool) -> str:
        folded = text.casefold()
        for one, written in known:
            if ("@" in one) is addresses and one in folded:
                text = _whole(written).sub("[removed]", text)
        return text

    def scrub(found: Any) -> Any:
        if isinstance(found, dict):
            return {scrub(str(name)): scrub(inner) for name, inner in found.items()}
        if isinstance(found, list | tuple):
            return [scrub(inner) for inner in found]
        if found is None or isinstance(found, bool | int | float):
            return found
        # Whole addresses before the names that are a part of them.
        text = redact(without(str(found), addresses=True))
        return _UUID.sub("[uuid]", _ID.sub(r"\1…", without(text, addresses=False)))

    return scrub(value)


def _whole(one: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(one)}(?!\w)", re.IGNORECASE)


def _finished(section: Facts, address: str, personal: Iterable[str]) -> Facts:
    """A vendor's answers with all that is known in the end: a name may be quoted before it is learnt."""
    ours = ("name", "question")
    notes = [
        {name: note[name] for name in ours} | scrubbed({k: v for k, v in note.items() if k not in ours}, personal)
        for note in section["questions"]
    ]
    simulated = {"simulated": True} if is_loopback(address) else {}
    return simulated | section | {"header_names": scrubbed(section["header_names"], personal), "questions": notes}


def write(file: Path, document: Facts, keys: Iterable[str], personal: Iterable[str]) -> None:
    """Writes the document, unless something is still in it that must not leave. Raises ProbeError then."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"
    held = [key for key in keys if key and key in text]
    addresses = [one for one in personal if "@" in one and one.casefold() in text.casefold()]
    if held or addresses or KEY_PATTERN.search(text) or _ADDRESS.search(text):
        raise ProbeError(
            "The answers still hold what looks like a key or an e-mail address, so nothing was written. Please report "
            "it, without the answers."
        )
    # A character that cannot be written must not leave half a file behind.
    written = text.encode(errors="backslashreplace")
    try:
        with file.open("xb") as made, _removed_unless_whole(file):
            made.write(written)
            made.flush()
    except OSError as error:
        raise ProbeError(f"{file} cannot be written: {error.strerror}.") from None


@contextmanager
def _removed_unless_whole(file: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise
