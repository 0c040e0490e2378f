"""The answers at the top of the page: a module for each question, in sentences with numbers."""

from pipeline.runs.report.answers.answer import Answer
from pipeline.runs.report.answers.comparison import comparison
from pipeline.runs.report.answers.cost import cost
from pipeline.runs.report.answers.data import data
from pipeline.runs.report.answers.labeling import labeling
from pipeline.runs.report.answers.quality import quality
from pipeline.runs.report.data import PageData

__all__ = ["Answer", "answers"]


def answers(page: PageData) -> list[Answer]:
    """Answer the questions of the page, in their order."""
    return [question(page) for question in (quality, data, comparison, labeling, cost)]
