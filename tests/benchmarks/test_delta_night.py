"""What the comparison of a delta night with a whole one says, on a small network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PEOPLE = 300


@pytest.mark.slow
def test_a_delta_night_is_compared_with_a_whole_one(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("delta_night.py"))
    command = [sys.executable, script, "--directory", str(tmp_path), "--users", str(PEOPLE), "--mean-friends", "8"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["people"] == PEOPLE
    assert 0 < found["made_anew"] < 0.3 * PEOPLE
    assert found["ratio"] == pytest.approx(found["delta_s"] / found["whole_s"], abs=1e-3)
    assert {"training", "evaluation"} <= found["whole_steps_s"].keys()
    assert found["delta_steps_s"].keys() == {"snapshot", "version", "publish"}
    assert found["lists_changed"] > 0, "also kept candidates whose friends became more change their places"
    assert found["like_the_whole_night"] > 0.5
