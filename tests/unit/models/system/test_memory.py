"""Memory of large blocks goes back to the system when they are freed."""

import subprocess
import sys

import pytest

from models.system.memory import return_large_blocks

PROGRAM = """
import ctypes, re
from pathlib import Path
from models.system.memory import return_large_blocks

def resident_mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

{call}
held = [bytearray(16 << 20)]
held.clear()  # the largest block that was freed so far
before = resident_mb()
small = []
for _ in range(12):
    held.append(bytearray(b"x") * (4 << 20))
    small.append([ctypes.create_string_buffer(5000) for _ in range(20)])  # these stay between the large ones
held.clear()
print(resident_mb() - before)
"""


def _left_mb(call: str) -> float:
    program = PROGRAM.format(call=call)
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not return_large_blocks(), reason="not glibc")
def test_memory_of_large_blocks_is_returned() -> None:
    assert _left_mb("return_large_blocks()") < 8
    assert _left_mb("") > 24  # what glibc does by itself, or this test would prove nothing
