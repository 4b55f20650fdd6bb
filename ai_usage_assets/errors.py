"""The base class of errors that the command line reports in one line instead of a traceback."""

from __future__ import annotations


class OperatorError(Exception):
    """An error that the person at the command line can fix; the message says what is wrong and what to do.

    `exit_code` is 2 for wrong usage or configuration, 1 for a failure.
    """

    exit_code = 1
