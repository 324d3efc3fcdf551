"""Who looked for whom: a file of lines of JSON in the folder of a gallery."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

FILE = "audit.jsonl"
"""Its name in the folder of a gallery."""


class Audit:
    """Appends a line for every search, every look at people, and every decision.

    Vectors and pictures are not written. A request whose line cannot be written fails.

    Args:
        path: of the file; None writes nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._lock = Lock()

    def write(self, client: str, who: str, action: str, **what: Any) -> None:
        """Append a line.

        Args:
            client: address that asked.
            who: the name given at the login, or "".
            action: what was done, as "search".
            what: ids and names; what is None or empty is left out.

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
        with self._lock:  # one write a line: several services may share the file
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, text.encode(errors="surrogateescape"))
            finally:
                os.close(file)
