"""Work on a list of items by several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


INDEX_BYTES = 4
"""All indices of the items together must fit into a pipe, which holds 64 KiB."""


def by_processes(work: Callable[[Iterable[T]], None], items: Sequence[T], processes: int) -> None:
    """Share items out: this process and forks of it each take the next one when they have done with the last.

    Those that take longest should come first. Forks need no imports of their own. Where they aren't safe, as on macOS,
    this process works on all items.

    Raises
    ------
    Exception
        What `work` raises in any of the processes.
    RuntimeError
        A fork was killed.

    """
    count = max(1, min(processes, len(items))) if sys.platform == "linux" else 1
    if count == 1:
        work(items)
        return
    with ExitStack() as stack:
        left = _indices(len(items), stack)
        results = [_begin(work, _taken(items, left), stack) for _ in range(1, count)]
        work(_taken(items, left))
        for result in results:
            _wait_for(result)


def _indices(count: int, stack: ExitStack) -> int:
    """A pipe with the index of each item, which the stack closes. A read takes one, whichever process reads."""
    left, end = os.pipe()
    stack.callback(os.close, left)
    os.write(end, b"".join(index.to_bytes(INDEX_BYTES) for index in range(count)))
    os.close(end)
    return left


def _taken(items: Sequence[T], left: int) -> Iterator[T]:
    """The items that this process takes."""
    while index := os.read(left, INDEX_BYTES):
        yield items[int.from_bytes(index)]


def _begin(work: Callable[[Iterable[T]], None], items: Iterable[T], stack: ExitStack) -> Connection:
    """Start a fork, which the stack ends; where it says how its work ended."""
    context = multiprocessing.get_context("fork")
    result, said = context.Pipe(duplex=False)
    fork = context.Process(target=_tell, args=(work, items, said))
    fork.start()
    said.close()
    stack.callback(fork.join)
    stack.callback(fork.terminate)
    return result


def _tell(work: Callable[[Iterable[T]], None], items: Iterable[T], said: Connection) -> None:
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
