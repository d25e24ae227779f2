"""Files that claim much or never end: within the budget of memory, at once, in one sentence.

Each is read in a process of its own, whose peak is compared with what it had before: what Pillow,
zlib or an engine takes counts as much as what Python does. A process that hangs is a failure.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from scatcuda import config
from scatcuda.data import DataError, file_budget, set_file_budget
from scatcuda.data.budget import ask, room
from scatcuda.data.files import opened, read_whole

MIB = 1 << 20
BUDGET = 64 * MIB
# What is not counted: the file's own bytes, zlib's and Pillow's buffers, a message.
SLACK = 32 * MIB
PATIENCE = 120  # seconds for a process: only what hangs takes as long

_MEASURED = """
import re, sys

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) << 10

{prepare}
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = peak()
try:
{body}
except ({expected}) as error:
    print(" ".join(str(error).split()))
print(peak() - before)
"""


def measured(
    body: str, *arguments: object, prepare: str = "", expected: str = "DataError",
    budget: int = BUDGET,
) -> tuple[str, int]:  # fmt: skip
    """What a program says or raises, and how many bytes its peak has grown by."""
    prepare = "from scatcuda.data import *\n" + textwrap.dedent(prepare)
    program = _MEASURED.format(
        prepare=prepare, body=textwrap.indent(textwrap.dedent(body), "    "), expected=expected
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "SCATCUDA_FILE_BUDGET": str(budget), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, grown = done.stdout.splitlines()
    return "\n".join(said), int(grown)


# --- the budget -------------------------------------------------------------------------------


@pytest.fixture
def budget(monkeypatch):
    monkeypatch.delenv("SCATCUDA_FILE_BUDGET", raising=False)
    yield
    set_file_budget(None)


def test_the_budget_is_asked(budget):
    assert file_budget() == 2 << 30
    ask("a.png", 2 << 30)
    with pytest.raises(DataError, match=r"^a.png: reading it would take 2 GiB of memory, more"):
        ask("a.png", (2 << 30) + 1)
    with pytest.raises(DataError, match=r"set SCATCUDA_FILE_BUDGET to 9223372036854775807 bytes"):
        ask("a.png", 10**400)


def test_the_budget_is_set(budget, monkeypatch, capsys):
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", "1000")
    assert file_budget() == 1000
    set_file_budget(10)
    with pytest.raises(DataError, match="11 bytes of memory, more than the 10 bytes"):
        ask("a.png", 11)
    config.show_config()
    assert "a file may take: 10 bytes (SCATCUDA_FILE_BUDGET)" in capsys.readouterr().out
    set_file_budget(None)
    assert file_budget() == 1000
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="set_file_budget: nbytes must be at least 1; got"):
            set_file_budget(wrong)
    with pytest.raises(TypeError, match="set_file_budget: nbytes must be an integer; got '2G'"):
        set_file_budget("2G")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", "-1", "2G", "1e9", "９", "9" * 5000])
def test_an_environment_that_is_no_budget(budget, monkeypatch, value):
    monkeypatch.setenv("SCATCUDA_FILE_BUDGET", value)
    with pytest.raises(ValueError, match=r"^SCATCUDA_FILE_BUDGET must be a number of bytes, 1 or"):
        config.check_environment()


def test_threads_share_the_budget(budget):
    """Two of 6 bytes do not fit into 10 together: the second waits until the first is through."""
    set_file_budget(10)
    inside, leave, second = threading.Event(), threading.Event(), threading.Event()

    def first():
        with room("a", 6):
            inside.set()
            leave.wait(PATIENCE)

    def other():
        with room("b", 6):
            second.set()

    threads = [threading.Thread(target=first), threading.Thread(target=other)]
    threads[0].start()
    assert inside.wait(PATIENCE)
    with room("c", 4):
        pass
    threads[1].start()
    assert not second.wait(0.2)
    leave.set()
    assert second.wait(PATIENCE)
    for thread in threads:
        thread.join()
    with pytest.raises(DataError, match=r"^d: "), room("d", 11):
        pass


# --- what is no file --------------------------------------------------------------------------


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def _socket(path: Path) -> str:
    short = os.open(path.parent, os.O_PATH)  # a socket's name has 107 bytes at most
    socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{short}/{path.name}")
    os.close(short)
    return "a socket"


def _device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a device"


def _terminal(path: Path) -> str:
    path.symlink_to("/dev/tty")
    return "a device"


def _directory(path: Path) -> str:
    path.mkdir()
    return "a directory"


NO_FILES = {make.__name__[1:]: make for make in (_pipe, _socket, _device, _terminal, _directory)}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_only_regular_files_are_opened(make, tmp_path):
    kind = make(tmp_path / "it")
    for path in (tmp_path / "it", tmp_path / "link"):
        if path.name == "link":
            path.symlink_to("it")
        with pytest.raises(DataError) as raised, opened(path):
            pass
        assert str(raised.value) == f"{path}: {kind}, where a file is expected"


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    assert read_whole(tmp_path / "b") == b"abc"
    (tmp_path / "c").symlink_to("c")
    with pytest.raises(DataError, match=r"c: cannot be read \(Too many levels of symbolic links\)"):
        read_whole(tmp_path / "c")


def test_what_becomes_a_pipe_is_not_waited_for(tmp_path, monkeypatch):
    """Between the look at it and its opening."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    state = os.stat(tmp_path / "file")
    monkeypatch.setattr("scatcuda.data.files.os.stat", lambda path: state)
    with pytest.raises(DataError, match="pipe: a named pipe, where a file is expected"):
        read_whole(tmp_path / "pipe")


def test_a_file_is_read_whole_within_the_budget(budget, tmp_path):
    (tmp_path / "a").write_bytes(bytes(100))
    set_file_budget(200)
    assert read_whole(tmp_path / "a", times=2) == bytes(100)
    with pytest.raises(DataError, match="a: reading it would take 300 bytes of memory"):
        read_whole(tmp_path / "a", times=3)


def test_a_sparse_file_is_not_read(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 40)
    said, grown = measured(
        "read_whole(sys.argv[1])", tmp_path / "a", prepare="from scatcuda.data.files import *"
    )
    assert "1024 GiB of memory" in said and grown < SLACK
