from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shoplm_audit.errors import DataError, MachineError
from shoplm_audit.evidence.claiming import claimed

HOLD = """
import sys, time
from pathlib import Path
from shoplm_audit.evidence.claiming import claimed
with claimed(Path(sys.argv[1]), "audit") as token:
    print(token, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_process_s_until_that_ends_however_it_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        token = holder.stdout.readline().strip()
        with (
            pytest.raises(DataError, match=r"another run is at work on it.*--out"),
            claimed(tmp_path, "audit"),
        ):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with claimed(tmp_path, "audit") as again:
        assert again == token
    with claimed(tmp_path, "audit") as later:
        assert later == token  # a finished folder is judged again from the store


def test_a_folder_of_another_audit_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path, "one") as token:
        raise KeyboardInterrupt
    with pytest.raises(DataError, match="another audit"), claimed(tmp_path, "two"):
        pass
    with claimed(tmp_path, "one") as again:
        assert again == token
    (tmp_path / "run.json").write_text('{"identity"')
    with pytest.raises(DataError, match="cannot be read"), claimed(tmp_path, "one"):
        pass


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".run.json.part").mkdir()  # as good as no room: nothing can be written there
    with pytest.raises(MachineError, match="cannot be marked"), claimed(tmp_path, "one"):
        pass
