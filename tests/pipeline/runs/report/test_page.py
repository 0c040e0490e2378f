"""Names from outside are text on the page, wherever they are on it."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.runs.report.page import render
from rsmtdf_core.words import printable
from tests.pipeline.runs.report.pages import page_of
from tests.pipeline.runs.report.parsed_page import Page


@settings(max_examples=15)
@given(name=st.text(min_size=1))
@example(name="</title></style></script><script>alert(1)</script>{{ page }}{% raw %}")
def test_every_name_of_the_data_is_text_on_the_page(name):
    """A page with one name everywhere has the elements of a page with a plain one."""
    plain, hostile = Page(render(page_of("Erebus"))), Page(render(page_of(name)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in hostile.tags] == [
        sorted(attributes) for _, attributes in plain.tags
    ]
    count = sum(text.count("Erebus") for text in plain.texts)
    assert count > 20
    assert sum(text.count(printable(name)) for text in hostile.texts) >= count
