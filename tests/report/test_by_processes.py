import multiprocessing
import os
import signal

import pytest

from pullback.errors import PullbackError
from pullback.report.by_processes import by_processes


@pytest.fixture
def two_at_once():
    """Waits until both of two processes are here, so that each of them has taken an item."""
    return multiprocessing.get_context("fork").Barrier(2, timeout=30).wait


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_each_item_is_worked_on_once(tmp_path, processes, count):
    def work(items):
        for item in items:
            (tmp_path / f"{item} by {os.getpid()}").touch()

    by_processes(work, range(1000, 1000 + count), processes)
    names = sorted(path.name.split(" by ") for path in tmp_path.iterdir())
    assert [item for item, _ in names] == [str(1000 + item) for item in range(count)]
    assert len({pid for _, pid in names}) <= processes


def test_a_process_that_has_done_its_item_takes_the_next(tmp_path, two_at_once):
    def work(items):
        for item in items:
            (tmp_path / f"{item} by {os.getpid()}").touch()
            if item in ("long", "last"):
                two_at_once()  # the long item ends when the last one has begun, elsewhere

    by_processes(work, ["long", "short", "shorter", "last"], 2)
    by = dict(path.name.split(" by ") for path in tmp_path.iterdir())
    assert by["short"] == by["shorter"] == by["last"] != by["long"]


@pytest.mark.parametrize("in_a_fork", [True, False])
def test_an_error_of_any_process_is_raised(two_at_once, in_a_fork):
    parent = os.getpid()

    def work(items):
        for _ in items:
            two_at_once()
            if (os.getpid() != parent) == in_a_fork:
                raise PullbackError(f"{'fork' if in_a_fork else 'parent'} is wrong")

    with pytest.raises(PullbackError, match=f"^{'fork' if in_a_fork else 'parent'} is wrong$"):
        by_processes(work, [0, 1], 2)


def test_a_killed_process_is_an_error(two_at_once):
    parent = os.getpid()

    def work(items):
        for _ in items:
            two_at_once()
            if os.getpid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="killed"):
        by_processes(work, [0, 1], 2)
