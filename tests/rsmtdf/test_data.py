"""Verbs on datasets."""

import pytest

import rsmtdf
from rsmtdf_core.errors import ConfigError, RsmtdfError


def test_verbs_of_data(values, tmp_path):
    result = rsmtdf.data.check("synthetic", values["data"]["root"], tmp_path)
    assert not result.problems
    assert (tmp_path / "check.json").is_file()
    with pytest.raises(RsmtdfError):
        rsmtdf.data.prepare("potsdam", tmp_path, tmp_path / "to")
    with pytest.raises(ConfigError, match="loveda"):
        rsmtdf.data.prepare("lovedo", tmp_path, tmp_path / "to")
