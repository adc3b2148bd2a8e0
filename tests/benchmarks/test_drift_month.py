"""Drift that is planted in a month of a small network is reported that night, and nothing on other days."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PEOPLE = 1500
NAMES = {"university": {"new_values_school"}, "meaning": {"meaning_company"}, "groups": {"friends", "meaning_company"}}


@pytest.mark.slow
def test_each_drift_is_reported_that_night_under_its_names() -> None:
    script = str(Path(__file__).with_name("drift_month.py"))
    command = [sys.executable, script, "--users", str(PEOPLE), "--seeds", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found.keys() == {"none", *NAMES}
    for name, month in found.items():
        assert month["reported"] == (name in NAMES), month
        assert NAMES.get(name, set()) <= set(month["named"])
        assert month["alarms_on_other_days"] == 0, month
    assert found["none"]["named"] == []
