"""Work on a list of items by several processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


def by_processes(work: Callable[[Sequence[T]], None], items: Sequence[T], processes: int) -> None:
    """Share items out: forks of this process work on every `processes`-th item each, and this process on the rest.

    Forks need no imports of their own. Where they aren't safe, as on macOS, this process works on all items.

    Raises
    ------
    Exception
        What `work` raises in any of the processes.
    RuntimeError
        A fork was killed.

    """
    count = max(1, min(processes, len(items))) if sys.platform == "linux" else 1
    with ExitStack() as stack:
        results = [_begin(work, items[index::count], stack) for index in range(1, count)]
        work(items[::count])
        for result in results:
            _wait_for(result)


def _begin(work: Callable[[Sequence[T]], None], items: Sequence[T], stack: ExitStack) -> Connection:
    """Start a fork, which the stack ends; where it says how its work ended."""
    context = multiprocessing.get_context("fork")
    result, said = context.Pipe(duplex=False)
    fork = context.Process(target=_tell, args=(work, items, said))
    fork.start()
    said.close()
    stack.callback(fork.join)
    stack.callback(fork.terminate)
    return result


def _tell(work: Callable[[Sequence[T]], None], items: Sequence[T], said: Connection) -> None:
    try:
        work(items)
        said.send(None)
    except Exception as error:
        said.send(error)


def _wait_for(result: Connection) -> None:
    try:
        error = result.recv()
    except EOFError:
        raise RuntimeError("a process was killed, maybe for lack of memory") from None
    if error:
        raise error
