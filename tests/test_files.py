import os
import stat
import subprocess
import sys
import threading

import pytest
from running import PROJECT

from pullback import files
from pullback.errors import PullbackError
from pullback.files import check_regular, whole, write_text


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail():
        with whole(path) as part:
            part.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PullbackError, match=r"file/a\.txt: can't be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def parts(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".part"))


def test_the_unfinished_file_is_new_and_in_the_same_folder(tmp_path):
    seen = set()
    for _ in range(3):
        with whole(tmp_path / "a.txt") as part:
            assert part.parent == tmp_path
            assert part.read_bytes() == b""
            seen.add(part.name)
    assert len(seen) == 3
    assert all(name.startswith("a.txt.") and name.endswith(".part") and len(name) == 27 for name in seen)


def test_no_link_of_the_name_of_the_unfinished_file_is_followed(tmp_path, monkeypatch):
    """Neither one of the name that it had once, nor one that guesses the name right."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    names = iter(["0" * 16, "1" * 16])
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: next(names))
    for link in ("a.txt.part", f"a.txt.{'0' * 16}.part"):
        (folder / link).symlink_to(victim)
    with pytest.raises(PullbackError, match=r"a\.txt: can't be written: File exists"):
        write_text(folder / "a.txt", "new")
    write_text(folder / "a.txt", "new")
    assert victim.read_text() == "mine"
    assert (folder / "a.txt").read_text() == "new"
    assert (folder / f"a.txt.{'0' * 16}.part").is_symlink()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        (tmp_path / "b.txt").write_text("x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert modes == [0o666 & ~mask] * 2


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pullback.files import whole\n"
        "with whole(sys.argv[1]) as part:\n"
        "    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.txt")]
    for _ in range(2):
        subprocess.run(command, check=False, env={"PYTHONPATH": str(PROJECT / "src")})
        assert len(parts(tmp_path)) == 1  # and not one more at each kill
    (tmp_path / "a.txt.other.part").write_text("a name of somebody else's")
    (tmp_path / "b.txt.0123456789abcdef.part").write_text("of another file")
    write_text(tmp_path / "a.txt", "whole")
    assert parts(tmp_path) == ["a.txt.other.part", "b.txt.0123456789abcdef.part"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_two_writers_of_one_file_leave_each_other_alone(tmp_path):
    path = tmp_path / "a.txt"
    with whole(path) as first:
        first.write_text("first")
        with whole(path) as second:
            second.write_text("second")
            assert first.exists()
            assert first != second
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert not parts(tmp_path)


def test_many_writers_at_once_all_finish(tmp_path):
    failed = []

    def write(number):
        try:
            for _ in range(20):
                write_text(tmp_path / "a.txt", str(number))
        except PullbackError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert not parts(tmp_path)


def test_a_file_taken_for_abandoned_before_it_was_locked_is_replaced_by_another(tmp_path, monkeypatch):
    keep, opened = files._lock, []

    def too_late(descriptor, *, wait):
        if wait and not opened:
            opened.append(parts(tmp_path))
            (tmp_path / opened[0][0]).unlink()
        return keep(descriptor, wait=wait)

    monkeypatch.setattr(files, "_lock", too_late)
    write_text(tmp_path / "a.txt", "x")
    assert len(opened[0]) == 1
    assert (tmp_path / "a.txt").read_text() == "x"


@pytest.mark.parametrize("length", [200, 255])
def test_the_longest_names_can_be_written(tmp_path, length):
    write_text(tmp_path / ("é" * (length // 2) + "x" * (length % 2)), "x")
    assert not parts(tmp_path)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path, other: path.symlink_to(other), "a link"),
        (lambda path, other: path.symlink_to(path.with_name("nowhere")), "a link"),
        (lambda path, other: (os.mkfifo(other.with_name("pipe")), path.symlink_to(other.with_name("pipe"))), "a link"),
        (lambda path, other: os.mkfifo(path), "a pipe, socket or device"),
        (lambda path, other: path.mkdir(), "a folder"),
    ],
    ids=["link", "dangling link", "link to a pipe", "pipe", "folder"],
)
def test_nothing_but_a_file_is_written_over(tmp_path, make, kind):
    path, other = tmp_path / "a.txt", tmp_path / "other.txt"
    other.write_text("mine")
    make(path, other)
    before = sorted((each.name, os.lstat(each).st_mode, os.lstat(each).st_ino) for each in tmp_path.iterdir())
    with pytest.raises(PullbackError, match=rf"a\.txt: can't be written: there is {kind} of that name"):
        write_text(path, "x")
    assert other.read_text() == "mine"
    assert before == sorted((each.name, os.lstat(each).st_mode, os.lstat(each).st_ino) for each in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "only regular files are read"),
        (lambda path: path.symlink_to("/dev/zero"), "only regular files are read"),
    ],
)
def test_only_regular_files_are_read(tmp_path, make, message):
    path = tmp_path / "hits.csv"
    make(path)
    with pytest.raises(PullbackError, match=message) as caught:
        check_regular(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["a\0b.csv", "a" * 5000, "\ud800.csv"])
def test_names_that_no_file_can_have_are_refused_in_one_short_line(path):
    with pytest.raises(PullbackError, match="can't be read") as caught:
        check_regular(path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_regular_file_and_a_link_to_one_pass(tmp_path):
    (tmp_path / "a.csv").write_text("x\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    check_regular(tmp_path / "a.csv")
    check_regular(tmp_path / "b.csv")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    from running import Run

    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    monkeypatch.chdir("/")  # a folder in use can't be unmounted
    try:
        with pytest.raises(PullbackError) as caught:
            Run({"study": "s", "source": {"muons": 100_000}}, tmp_path).make()
        assert "truth/nominal.h5: can't be written: no space left on the disk" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        with pytest.raises(PullbackError, match="no space left"):
            write_text(tmp_path / "big.txt", "x" * 1_000_000)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
