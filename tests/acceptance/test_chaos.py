"""The chaos suite in its short form: three faults or more, with real fine-tunings; `make chaos` is the long one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_a_study_under_faults_ends_as_an_undisturbed_one() -> None:
    command = [sys.executable, "-m", "bench.chaos", "--minutes", "0", "--faults", "3", "--epochs", "8", "--seed", "4"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = re.search(r"studies of 16 trials, (\d+) faults", done.stdout)
    assert faults
    assert int(faults[1]) >= 3
    assert "Everything exact, nothing left behind." in done.stdout
