"""Where the time of the workflow's jobs goes: Python runs this file first in each, when its folder is on PYTHONPATH.

In a job's script, and in the job server and its forks, a thread looks every few milliseconds at what the main thread is
doing, and charges the processor time since its last look to a part of the work. At the end, the seconds of each part go
to a file in the folder $PULLBACK_PARTS.
"""

import atexit
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

EVERY = 0.002
PACKAGES = {"store": "I/O", "figures": "plotting", "report": "report", "study": "plan", "config": "plan"}
"""Parts by the subpackage that a module is in; all others are arithmetic."""
LIBRARIES = {"h5py": "I/O", "matplotlib": "plotting", "jinja2": "report", "pydantic": "plan", "yaml": "plan"}

END = os._exit


def part_of(frame):
    """The part that a frame, with all that called it, is in: the innermost that says so; an import in any of it."""
    found = "imports"  # outside the package: the script itself and what Snakemake puts before it
    while frame:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib._bootstrap"):
            return "imports"
        if found == "imports" and path.endswith("pullback/job_server.py"):
            return "waiting"  # a script for its fork, or the server for scripts
        if found in ("imports", "arithmetic"):
            folders = path.split(os.sep)
            library = next((each for each in folders[-4:-1] if each in LIBRARIES), None)
            if library:
                found = LIBRARIES[library]
            elif "pullback" in folders[-4:-1]:
                found = PACKAGES.get(folders[-2], "arithmetic")
        frame = frame.f_back
    return found


def look(thread, parts, ended):
    """Charge time to parts until an event."""
    last = time.process_time()
    while not ended.wait(EVERY):
        part = part_of(sys._current_frames().get(thread))
        now = time.process_time()
        parts[part] += now - last
        last = now


def begin(folder):
    """Look at this thread until the process ends or, in the server, until its first fork."""
    parts, ended, process = Counter(), threading.Event(), os.getpid()
    looks = threading.Thread(target=look, args=(threading.get_ident(), parts, ended), daemon=True)
    looks.start()

    def stop():
        ended.set()
        looks.join()

    os.register_at_fork(before=stop)

    def write():
        if os.getpid() == process:  # and not a fork, which has parts of its own
            stop()
            Path(folder, f"{process}.json").write_text(json.dumps(parts))

    def write_and_end(status):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the script, which has ended by now
        write()
        END(status)

    atexit.register(write)
    os._exit = write_and_end  # how forks end


if "PULLBACK_PARTS" in os.environ:
    server = "pullback.job_server" in sys.orig_argv
    if server:
        os.register_at_fork(after_in_child=lambda: begin(os.environ["PULLBACK_PARTS"]))
    if server or any(".snakemake/scripts/" in each for each in sys.orig_argv):
        begin(os.environ["PULLBACK_PARTS"])
