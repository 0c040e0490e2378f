"""Propose a config for a dataset on this machine, write it, and run all stages with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ExperimentConfig, load_config
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.plan import find_dataset
from pipeline.reporter import Reporter, Silent
from pipeline.start.choosing import choose
from pipeline.start.looking import find_weights, look_at_data, look_at_machine
from pipeline.start.measuring import measure
from pipeline.start.settings import proposal
from pipeline.start.text import config_text, value_text
from pipeline.start.timing import settle
from pipeline.start.values import Choice, Draft, Proposal, Timing
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.files import atomic_file, require_writable
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.student.pretrained import fetch_encoder

_TRIES = 3  # rounds of measuring a draft and settling on another one


@dataclass(frozen=True)
class StartReport:
    """The results of a start.

    Attributes:
        proposal: the settings with their reasons.
        config: the config file.
        run: the run's folder; None if nothing was run.
        scores: scores on the test scenes; None if nothing was run, or there are no test scenes.
    """

    proposal: Proposal
    config: Path
    run: Path | None = None
    scores: EvaluationReport | None = None


def manifest_of(root: Path, config: Path) -> Path:
    """Return the manifest of a folder, which exists or is yet to be written next to the config."""
    manifest = root / "manifest.yaml"
    if manifest.exists() or config.parent.resolve() == root.resolve():
        return manifest
    return config.with_name(f"{config.stem}-manifest.yaml")


def propose(
    manifest: Path,
    root: Path,
    *,
    hours: float,
    weights: Path | None = None,
    cache: Path | None = None,
    reporter: Reporter | None = None,
) -> tuple[Proposal, str]:
    """Propose settings for a dataset on this machine; takes up to a minute on a CPU, and writes no file.

    Args:
        manifest: the dataset's manifest.
        root: the data root.
        hours: time for extraction and training.
        weights: folder with weights files.
        cache: folder of the feature stores.
        reporter: shows progress.

    Returns:
        The proposal, and the config as YAML.

    Raises:
        ConfigError: If the hours are not positive.
        DataError: If no training scene has a mask.
        MissingFileError: If the folder of weights is missing.
    """
    reporter = reporter or Silent()
    if not hours > 0:
        raise ConfigError(
            f"expected a time above 0, found {hours:g} h", where="--hours", remedy="--hours 1"
        )
    with reporter.status("reading the scenes"):
        spec = load_manifest(str(manifest))
        dataset = find_scenes(spec, root)
        data = look_at_data(dataset)
    with reporter.status("looking for weights of students and teachers"):
        known = find_weights(weights)
    named = _named(manifest, root, cache)
    machine = look_at_machine(_parsed(named).runtime.cache_folder)

    def proposed(draft: Draft, timing: Timing) -> Proposal:
        result = proposal(draft, data, timing, machine, hours)
        # A manifest's list of labeled scenes overrides the share.
        keys = () if spec.labeled is None else ("data.labeled",)
        choices = [choice for choice in result.choices if choice.key not in keys]
        return result.model_copy(update={"choices": (*named, *choices)})

    timing = Timing(step=1e-3)
    draft = settle(choose(data, machine, known), data, machine, timing, hours)
    for _ in range(_TRIES):
        config = _parsed(proposed(draft, timing).choices)
        _fetch_student(config, reporter)
        with reporter.status(
            f"timing a step of {draft.batch} crops of {draft.crop} px, {draft.method}"
        ):
            timing = measure(config, dataset)
        settled = settle(draft, data, machine, timing, hours)
        if settled == draft:
            break
        draft = settled
    result = proposed(draft, timing)
    return result, config_text(result)


def write_config(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a config file.

    Raises:
        ConfigError: If the file exists and `overwrite` is not set.
        WriteError: If the file cannot be written.
    """
    require_free_config(path, overwrite=overwrite)
    with atomic_file(path) as file:
        file.write(text.encode())


def require_free_config(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot be written, before anything is measured.

    Raises:
        ConfigError: If the file exists and `overwrite` is not set.
        WriteError: If the file cannot be written.
    """
    require_writable(path)
    if path.exists() and not overwrite:
        raise ConfigError(
            "the file exists already",
            where=path,
            remedy="choose another file with --out, or replace this one with --overwrite",
        )


def run_all(
    path: Path,
    proposed: Proposal,
    *,
    overwrite: bool = False,
    exits: bool = False,
    reporter: Reporter | None = None,
) -> StartReport:
    """Extract features if there is a teacher, train, and score the test scenes if there are some.

    Args:
        path: the config file.
        proposed: the settings that it was written from.
        overwrite: delete an existing run.
        exits: a second signal ends the training at once, as in `train`.
        reporter: shows progress.

    Raises:
        RsmtdfError: As the stages do.
    """
    config = load_config(str(path))
    if config.teachers:
        extract(config, reporter=reporter)
    run = train(config, overwrite=overwrite, exits=exits, reporter=reporter).run
    dataset = find_dataset(config)
    scores = None
    if any(scene.mask is not None for scene in dataset.splits.get("test", ())):
        scores, _ = evaluate(run, reporter=reporter)
    return StartReport(proposed, path, run, scores)


def _named(manifest: Path, root: Path, cache: Path | None) -> tuple[Choice, ...]:
    """Return the keys of a config that name things."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip("-._") or "mine"
    choices = [
        Choice(key="name", value=name[:64]),
        Choice(key="data.manifest", value=str(manifest.absolute())),
        Choice(key="data.root", value=str(root.absolute())),
    ]
    if cache is not None:
        choices.append(Choice(key="runtime.cache", value=str(cache.absolute())))
    return tuple(choices)


def _parsed(choices: Sequence[Choice]) -> ExperimentConfig:
    overrides = [f"{choice.key}={value_text(choice.value)}" for choice in choices]
    return load_config({}, overrides)


def _fetch_student(config: ExperimentConfig, reporter: Reporter) -> None:
    """Download the student's weights now, because training does not use the network.

    Raises:
        ConfigError: If they cannot be downloaded.
    """
    try:
        with reporter.status(f"fetching the weights of {config.student.encoder}"):
            fetch_encoder(config.student)
    except OSError as failure:
        raise ConfigError(
            f"the weights of {config.student.encoder} cannot be downloaded: {failure}",
            remedy="name a folder with weights files by --weights, or set HF_HUB_OFFLINE=1 to do without",
        ) from failure
