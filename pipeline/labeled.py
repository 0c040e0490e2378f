"""The selection of labeled scenes in words, without heavy imports."""

from pipeline.config import ExperimentConfig
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.words import counted


def unheeded_by_manifest(config: ExperimentConfig, manifest: Manifest) -> tuple[str, ...]:
    """Describe settings of the config that the manifest overrides, a sentence each."""
    if manifest.labeled is None or "labeled" not in config.data.model_fields_set:
        return ()
    sentence = (
        f"data.labeled: {config.data.labeled:g} has no effect, as the manifest {manifest.name} lists its labeled "
        f"scenes, {len(manifest.labeled):,} of them"
    )
    return (sentence,)


def labeled_rule(config: ExperimentConfig, manifest: Manifest) -> str:
    """Describe the selection of labeled training scenes, for reports."""
    if manifest.labeled is not None:
        return f"{counted(len(manifest.labeled), 'training scene')} listed as labeled"
    data = config.data
    if data.labeled == 1:
        return "masks of all training scenes that have one"
    return f"{data.labeled:.3g} of the training scenes labeled (seed {data.labeled_seed})"
