"""Files that are there whole or not at all: their permissions, and what is left of them."""

import errno
import os
import stat

import pytest
from torch import Tensor, arange, equal

pytest.importorskip("safetensors")

from scatcuda.files import read_tensors, replaced, write_tensors, write_text


def test_permissions_are_the_usual_ones_and_the_mask_is_left_alone(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patched:  # any thread that made a file meanwhile would see it
            patched.setattr(os, "umask", lambda mask: pytest.fail("the mask of the whole process"))
            write_text(tmp_path / "a.txt", "whole")
            tensors: dict[str, Tensor] = {"x": arange(5)}
            write_tensors(tmp_path / "a.safetensors", tensors, {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o640
    assert equal(read_tensors(tmp_path / "a.safetensors")[0]["x"], arange(5))


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), replaced(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path):
    """Root's `--output /dev/null` made a file of the machine's /dev/null."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)  # as /dev/stdout is one
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for path in (pipe, link):
            write_text(path, "whole")
            assert os.read(reader, 100) == b"whole"
    finally:
        os.close(reader)
    assert pipe.is_fifo() and link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]
    before = os.stat(os.devnull)
    write_text(os.devnull, "whole")
    assert os.path.samestat(before, os.stat(os.devnull)) and stat.S_ISCHR(before.st_mode)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_file_that_cannot_be_made_is_told_by_its_own_name(tmp_path, monkeypatch, code):
    """And not by that of the temporary one, which nobody has heard of."""

    def refused(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OSError, match=os.strerror(code)) as failed:
        write_text(tmp_path / "a.txt", "whole")
    assert failed.value.filename == str(tmp_path / "a.txt") and failed.value.errno == code
    assert not os.listdir(tmp_path)


def test_a_link_in_the_way_is_not_written_through(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    monkeypatch.setattr("scatcuda.files.secrets.token_hex", lambda n: "0" * 2 * n)
    (tmp_path / f".a.txt.{'0' * 16}.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.txt", "ours")
    assert victim.read_text() == "theirs"
