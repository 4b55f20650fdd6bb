"""The context of the run that loads data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RunContext:
    """The run that loads data, its clock, and whether the operator accepts that data shrinks."""

    run_id: str
    now: datetime
    accept_loss: bool = False
