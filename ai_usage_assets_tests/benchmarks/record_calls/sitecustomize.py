"""Records the requests of a process to BigQuery. Python imports it at its start if its folder is in PYTHONPATH.

Every request to the address in RECORD_CALLS_OF is a line of JSON in the file RECORD_CALLS_TO.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import requests

_JOB_ID = re.compile(rb'"jobId": ?"([^"]+)"')


def record_calls(address: str, path: Path) -> None:
    """Adds a line to the file for every request of this process to the address."""
    send = requests.adapters.HTTPAdapter.send
    lock = threading.Lock()

    def send_recorded(self: Any, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> Any:
        if not (request.url or "").startswith(address):
            return send(self, request, *arguments, **options)
        started = time.time()
        response = send(self, request, *arguments, **options)
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        job_id = _JOB_ID.search(body) if request.method == "POST" else None
        call = {
            "method": request.method,
            "path": (request.path_url or "").partition("?")[0],
            "job_id": job_id[1].decode() if job_id else "",
            "statements": _count_statements(body) if request.method == "POST" else 0,
            "status": response.status_code,
            "started": started,
            "process": os.getpid(),
            "thread": threading.get_ident(),
            "is_main": threading.current_thread() is threading.main_thread(),
        }
        with lock, path.open("a") as lines:
            lines.write(json.dumps(call) + "\n")
        return response

    requests.adapters.HTTPAdapter.send = send_recorded  # type: ignore[method-assign]


def _count_statements(body: bytes) -> int:
    """The number of statements of a query job that read or write; 0 for another request."""
    try:
        script = json.loads(body)["configuration"]["query"]["query"]
    except (ValueError, KeyError):
        return 0
    control = ("BEGIN", "COMMIT", "DECLARE", "SET")
    return sum(not statement.startswith(control) for statement in script.split(";\n"))


if "RECORD_CALLS_TO" in os.environ:
    record_calls(os.environ["RECORD_CALLS_OF"], Path(os.environ["RECORD_CALLS_TO"]))
