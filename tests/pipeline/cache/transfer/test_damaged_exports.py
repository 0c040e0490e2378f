"""Every file of an export, damaged in every way, is refused; the printed command makes it whole again."""

import shutil
from pathlib import Path

import pytest

from pipeline.cache.transfer.importing import import_stores
from rsmtdf_core.errors import StoreError
from tests.caches import make_store, tree
from tests.damages import FILE_DAMAGES, run_remedy
from tests.pipeline.cache.transfer.helpers import exported


def refusal(shelf: Path, copy: Path) -> StoreError | None:
    """The error of an import; None if it succeeds."""
    try:
        import_stores(str(shelf), copy)
    except StoreError as error:
        return error
    return None


@pytest.mark.parametrize("kind", FILE_DAMAGES)
def test_the_remedy_of_a_damaged_export_heals_it(cache, shelf, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("RSMTDF_CACHE", str(cache))
    exported(make_store(cache), to=shelf)
    whole, refused = tree(shelf), []
    names = [name for name in whole if "/c/" not in name or name.endswith("/c/0/0/0/0")]
    for number, name in enumerate(names):
        damaged = shutil.copytree(shelf, tmp_path / f"shelf {number}")
        FILE_DAMAGES[kind](damaged / name, tmp_path / f"outside {number}")
        wanted = tmp_path / f"copy {number}"
        error = refusal(damaged, wanted)
        if error is not None:
            refused.append(name)
            assert error.where is not None
            run_remedy(error.remedy, {"STORE...": "tiny"}, -1)
            assert tree(damaged) == whole
            shutil.rmtree(wanted, ignore_errors=True)
            assert refusal(damaged, wanted) is None
        assert {key: value for key, value in tree(wanted).items() if key in tree(cache)} == tree(
            cache
        )
    # A zero page or a bit may hit a byte that was so before, or white space.
    assert len(refused) >= len(names) - 1, set(names) - set(refused)
