"""Scripts that import modules by their former names keep working."""

import subprocess
import sys
from importlib import import_module

import pytest

from rsmtdf_core.former_names import FORMER


@pytest.mark.parametrize("former", sorted(FORMER))
def test_a_former_name_is_the_module_of_today_with_a_warning(former: str) -> None:
    sys.modules.pop(former, None)
    with pytest.warns(DeprecationWarning, match=f"{former} is now {FORMER[former]}"):
        module = import_module(former)
    assert module is import_module(FORMER[former])


def test_a_fresh_script_gets_the_same_objects_under_both_names() -> None:
    script = (
        "from rsmtdf_core.manifests.files import read_image as former\n"
        "from rsmtdf_core.scenes.files import read_image as current\n"
        "assert former is current\n"
        "from pipeline.signals import interrupted"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
