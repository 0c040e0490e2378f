"""Freed memory is reused instead of being mapped again."""

import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys
import numpy as np
from rsmtdf_core.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def use():
    np.empty(128 * 2**20, np.uint8).fill(1)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    words = [sys.executable, "-c", PAGE_FAULTS, how]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_large_blocks_cost_page_faults_only_once():
    given_back = page_faults("given back")
    if given_back < 100:
        pytest.skip("this C library keeps large blocks anyway")
    assert page_faults("kept") < given_back / 10
