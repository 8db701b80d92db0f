import subprocess
import sys


def table(tmp_path, code):
    """What a process writes of itself after some work."""
    script = (
        f"from pathlib import Path\nfrom pullback.steps.usage import write_usage\n{code}\nwrite_usage(Path('usage'))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    head, row = (line.split("\t") for line in (tmp_path / "usage").read_text().splitlines())
    return dict(zip(head, map(float, row), strict=True))


BUSY = "import time\nwhile time.process_time() < 0.7: pass"


def test_a_process_says_its_time_and_memory(tmp_path):
    idle = table(tmp_path, "import time; time.sleep(0.5)")
    busy = table(tmp_path, f"{BUSY}\nblock = bytes(range(256)) * 4 * 300 * 1024; del block")
    assert 0.5 < idle["s"] < idle["cpu_time"] + 5
    assert idle["cpu_time"] < idle["s"] - 0.4  # whatever its imports take
    assert 0.7 <= busy["cpu_time"] < busy["s"] + 0.1
    assert 290 < busy["max_rss"] - idle["max_rss"] < 320


def test_ended_children_count(tmp_path):
    found = table(tmp_path, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}], check=True)")
    assert 0.7 < found["cpu_time"] < found["s"] + 0.1
