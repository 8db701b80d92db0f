import os
import subprocess

import pytest

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
    from conftest import Run

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
