import re
import subprocess
import sys

import pytest

from pullback.cli import main


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    for command in ("init", "check", "run", "show", "peek", "calibrate", "export"):
        assert re.search(rf"^ +{command}\s", printed, re.MULTILINE)


def test_output_that_nobody_reads_is_no_error(tmp_path):
    """As of `pullback peek FILE | head -1`."""
    (tmp_path / "hits.csv").write_text(",".join(f"a{number}" for number in range(20_000)) + "\n")
    command = [sys.executable, "-m", "pullback", "peek", "hits.csv"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=60)
    assert said == ""
