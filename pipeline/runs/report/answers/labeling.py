"""What to label next: the scenes of `suggest`, and the scenes with the most errors."""

from collections.abc import Iterator

from pipeline.runs.report.answers.answer import Answer, command, listed, percent
from pipeline.runs.report.data import PageData, WorstScene
from rsmtdf_core.words import counted

_QUESTION = "What to label next?"
_MOST = 3  # scenes of a sentence


def labeling(page: PageData) -> Answer:
    """Answer with the suggestions in the folder of the best group's first run."""
    record = page.best.runs[0].record
    run, config = record.folder, record.folder.config
    suggested = [scene.scene for scene in page.suggestions]
    sentences, commands = [], []
    if suggested:
        names = listed(suggested[:_MOST])
        sentences.append(
            f"Label {names} first: their cached tokens differ most from those of the labeled scenes. "
            f"The list has {counted(len(suggested), 'scene')}."
        )
        if record.random_teachers:
            sentences.append("The teachers' weights are random, so this order has little meaning.")
    elif page.trained and record.config.teachers:
        sentences.append(
            "No suggestions are in the run's folder. The command below ranks the unlabeled training scenes by how much "
            "their cached tokens differ from those of the labeled scenes."
        )
        commands.append(command("suggest", config, "--out", run.suggestions))
    elif page.trained:
        sentences.append(
            "The config has no teachers, so there are no tokens to rank the unlabeled scenes by."
        )
    sentences += _worst(page.worst_scenes)
    wrong = [row.scene for row in page.worst_scenes]
    short = [*suggested, *(f"scenes like {scene}" for scene in wrong), "unknown"][0]
    return Answer(_QUESTION, short, tuple(sentences), tuple(commands))


def _worst(scenes: list[WorstScene]) -> Iterator[str]:
    if not scenes:
        return
    texts = []
    for scene in scenes[:_MOST]:
        means = [spread.mean for spread in scene.spreads if spread is not None]
        texts.append(f"{scene.scene} ({percent(sum(means) / len(means))} of its pixels)")
    verb = "Most errors are in" if len(texts) > 1 else "Errors are in"
    yield f"{verb} {listed(texts)}: training scenes that look like them are worth a label."
