"""Run one function of a file in this process, under whichever Python has its library: arrays in, arrays out.

Command: python worker.py FILE FUNCTION IN.npz OUT.npz LIBRARY… ; it prints CPU seconds and versions as JSON.
"""

import json
import runpy
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np


def main(file, function, into, out, *libraries):
    """Call the function, and up to 500 hits twice: imports and first calls are not in the time of the second."""
    warnings.simplefilter("ignore")
    work = runpy.run_path(file)[function]
    given = {name: value if value.ndim else value.item() for name, value in np.load(into).items()}
    seconds = []
    for _ in range(2 if max(len(each) for each in given.values() if np.ndim(each)) <= 500 else 1):
        begin = time.process_time()
        found = work(**given)
        seconds.append(time.process_time() - begin)
    np.savez(out, **found)
    print(json.dumps({"seconds": min(seconds), "versions": {each: version(each) for each in libraries}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
