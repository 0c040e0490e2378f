"""The selection of labeled scenes in words, without heavy imports."""

from pipeline.config import ExperimentConfig
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.words import counted


def unheeded_by_manifest(config: ExperimentConfig, manifest: Manifest) -> tuple[str, ...]:
    """Describe settings of the config that the manifest overrides, a sentence each."""
    if manifest.labeled is None or "labeled" not in config.data.model_fields_set:
        return ()
    sentence = (
        f"data.labeled: {labeled_value(config)} has no effect, as the manifest {manifest.name} lists its labeled "
        f"scenes, {len(manifest.labeled):,} of them"
    )
    return (sentence,)


def labeled_rule(config: ExperimentConfig, manifest: Manifest) -> str:
    """Describe the selection of labeled training scenes, for reports."""
    if manifest.labeled is not None:
        return f"{counted(len(manifest.labeled), 'training scene')} listed as labeled"
    labeled, seed = config.data.labeled, config.data.labeled_seed
    share = labeled if isinstance(labeled, float) else labeled.share
    of_images = "" if isinstance(labeled, float) else f" of {labeled.describe()}"
    if share == 1:
        return f"masks of all training scenes{of_images} that have one"
    return f"{share:.3g} of the training scenes{of_images} labeled (seed {seed})"


def labeled_value(config: ExperimentConfig) -> str:
    """Return `data.labeled` in a few words: a share, or images."""
    labeled = config.data.labeled
    if isinstance(labeled, float):
        return f"{labeled:g}"
    return (
        labeled.describe() if labeled.share == 1 else f"{labeled.share:g} of {labeled.describe()}"
    )
