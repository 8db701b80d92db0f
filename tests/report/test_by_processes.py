import os
import signal

import pytest

from pullback.errors import PullbackError
from pullback.report.by_processes import by_processes


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_each_item_is_worked_on_once(tmp_path, processes, count):
    def work(items):
        for item in items:
            (tmp_path / f"{item} by {os.getpid()}").touch()

    by_processes(work, range(count), processes)
    names = sorted(path.name.split(" by ") for path in tmp_path.iterdir())
    assert [item for item, _ in names] == [str(item) for item in range(count)]
    assert len({pid for _, pid in names}) == min(processes, count)


@pytest.mark.parametrize("wrong", [0, 1])
def test_an_error_of_any_process_is_raised(wrong):
    def work(items):
        if wrong in items:
            raise PullbackError(f"{wrong} is wrong")

    with pytest.raises(PullbackError, match=f"^{wrong} is wrong$"):
        by_processes(work, [0, 1], 2)


def test_a_killed_process_is_an_error():
    def work(items):
        if 1 in items:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="killed"):
        by_processes(work, [0, 1], 2)
