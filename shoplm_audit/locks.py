"""One process at a time: a lock on an open file or folder, which goes with the process, also by `kill -9`.

taken(os.open("runs/plain-3f2a", os.O_RDONLY)) -> True     # False while another process has it
"""

from __future__ import annotations

import sys

__all__ = ["taken"]


def taken(handle: int) -> bool:
    """Whether this process has the lock now; it always has where there are none (Windows, some file systems)."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
