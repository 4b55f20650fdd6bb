"""What every command tells in one line instead of a traceback.

Belongs here: the one base class. Does not: particular errors, which live with what raises them.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Something a person at the command line can mend; the message says what is wrong and what to do.

    `exit_code` is 2 for what was asked for wrongly, 1 for what could not be done.
    """

    exit_code = 1
