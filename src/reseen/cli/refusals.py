"""What the system refuses (space, rights, memory), as a sentence."""

import errno
import sys

ADVICE = {
    errno.ENOSPC: "Free some disk space and run the same command again; finished work is saved.",
    errno.EFBIG: "Allow larger files (ulimit -f) and run the same command again.",
    errno.EACCES: "Change its permissions, or use another path.",
    errno.EPERM: "Change its permissions, or use another path.",
    errno.EROFS: "Use a path that is writable.",
    errno.ENOTDIR: "There is a file where a folder should be. Use another path.",
    errno.EEXIST: "There is a file where a folder should be. Use another path.",
    errno.EISDIR: "Give the name of a file.",
    errno.ENOENT: "Check the path.",
    errno.EMFILE: "Allow more open files (ulimit -n), or read with fewer threads (--workers 1).",
    errno.ENFILE: "Close other programs, or read with fewer threads (--workers 1).",
}
if hasattr(errno, "EDQUOT"):  # not on Windows
    ADVICE[errno.EDQUOT] = ADVICE[errno.ENOSPC]

MEMORY = (
    "Close other programs, or use less memory: a lower --memory, smaller images "
    "(--encoder.height, --encoder.width) or a smaller batch."
)

LOST = (
    "another process of this run has died: it was killed, or its machine cannot be reached. Every "
    "finished round is saved. Run the same command again to resume."
)


def refusal(error: BaseException) -> str | None:
    """Say in a sentence what the system refused, or None where the error is of another kind."""
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, OSError):
        if error.errno is None:
            return first or type(error).__name__
        where = "" if error.filename is None else f": {error.filename}"
        return f"{error.strerror}{where}. {ADVICE.get(error.errno, '')}".strip()
    torch_said = "can't allocate memory" in first or "out of memory" in first
    if isinstance(error, RuntimeError) and "torch.distributed" in sys.modules:
        from reseen.engine.processes import lost

        if lost(error):
            return LOST
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and torch_said):
        return f"there is not enough memory ({first or 'no details are known'}). {MEMORY}"
    return None
