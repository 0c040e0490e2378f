"""`rsmtdf.suggest` and `rsmtdf.search` return the reports of their commands."""

import pytest

import rsmtdf


def test_suggest_and_search_read_the_cache(extracted, tmp_path):
    report = rsmtdf.suggest(extracted, count=2, out=tmp_path / "out", teacher="vit")
    assert len(report.scenes) == 2
    assert report.teachers == ("vit",)
    assert (tmp_path / "out/suggestions.png").is_file()
    found = rsmtdf.search(extracted, report.scenes[0].scene, count=3, teacher="vit")
    assert len(found.matches) == 3
    assert found.files == ()


def test_a_store_takes_no_overrides(tmp_path):
    with pytest.raises(rsmtdf.RsmtdfError, match="need a config"):
        rsmtdf.search(tmp_path, "x", overrides={"seed": 1})
