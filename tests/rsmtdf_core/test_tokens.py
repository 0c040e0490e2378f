"""The shape of a teacher's tokens."""

from rsmtdf_core.tokens import TokenShape


def test_grid_and_record_are_rows_columns_channels():
    shape = TokenShape("clip", height=3, width=5, channels=7)
    assert shape.grid == (3, 5)
    assert shape.record_shape == (3, 5, 7)
    assert shape.input_size is None
