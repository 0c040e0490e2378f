"""In a checkout, the names of the wheel's modules are second names of the same objects."""

import subprocess
import sys

SCRIPT = """
import rsmtdf
import rsmtdf.rsmtdf_core.errors
from rsmtdf.rsmtdf_core.kinds import CODECS
from rsmtdf.pipeline import config

import pipeline.config
import rsmtdf_core.errors
import rsmtdf_core.kinds
from rsmtdf.data_manifests import __name__ as name

assert rsmtdf.rsmtdf_core.errors is rsmtdf_core.errors
assert CODECS is rsmtdf_core.kinds.CODECS
assert config is pipeline.config
assert name == "data_manifests"
assert rsmtdf.RsmtdfError is rsmtdf_core.errors.RsmtdfError
try:
    import rsmtdf.pipeline.nothing
except ModuleNotFoundError as error:
    assert error.name == "pipeline.nothing"
else:
    raise AssertionError
"""


def test_both_names_are_the_same_module():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
