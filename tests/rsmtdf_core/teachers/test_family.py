import subprocess
import sys

import pytest

from rsmtdf_core.kinds import FAMILIES
from rsmtdf_core.teachers.family import family_module


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_offers_the_same_two_functions(family: str):
    module = family_module(family)
    assert callable(module.hub_file)
    assert callable(module.build)


def test_settings_can_be_validated_without_loading_a_library():
    code = (
        "import sys, rsmtdf_core.teachers.settings\n"
        "print([name for name in ('torch', 'timm', 'open_clip') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
