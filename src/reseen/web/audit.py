"""The record of who searched for whom: a file of JSON lines in the folder of a gallery."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

FILE = "audit.jsonl"
"""Its name in the folder of a gallery."""


class Audit:
    """Appends a line for every search, every view of people, and every decision.

    Features and pictures are not recorded. A request whose line cannot be written fails.

    Args:
        path: of the file; None records nothing.
        path: of the file; None writes nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._lock = Lock()

    def write(self, client: str, who: str, action: str, **what: Any) -> None:
        """Append a line.

        Args:
            client: address of the client.
            who: the name given at the login, or "".
            action: such as "search".
            what: ids and names; None and empty values are left out.

        Raises:
            OSError: it cannot be written.
        """
        if self.path is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client,
            **({"who": who} if who else {}),
            "action": action,
            **{name: value for name, value in what.items() if value not in (None, "", [], ())},
        }
        text = json.dumps(line, ensure_ascii=False) + "\n"
        with self._lock:  # one write per line, because several services may share the file
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, text.encode(errors="surrogateescape"))
            finally:
                os.close(file)
