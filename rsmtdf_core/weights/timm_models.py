"""Locates the pretrained weights of timm's models on the hub, for teachers and students."""

from difflib import get_close_matches
from typing import Any

from rsmtdf_core.errors import TeacherError

LIST_MODELS = "python -c 'import timm; print(*timm.list_models())'"


def hub_file(model: str) -> tuple[str, str]:
    """Return the repository and file name of a timm model's pretrained weights.

    Raises:
        TeacherError: If timm has no such model, or the hub has no weights for it.
    """
    repository = pretrained_config(model).hf_hub_id
    if not repository:
        raise TeacherError(
            f"timm has no weights for {model!r} on the hub",
            remedy="set the teacher's weights to the path of a file, or to random",
        )
    return repository, "model.safetensors"


def pretrained_config(model: str) -> Any:  # noqa: ANN401 - timm's config class is not exported
    """Return timm's config of a model's pretrained weights.

    Raises:
        TeacherError: If timm has no such model.
    """
    import timm

    try:
        config = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    except RuntimeError:  # the model exists, its tag does not
        config = None
    if config is None:
        near = get_close_matches(model, timm.list_models(pretrained=True), n=3)
        raise TeacherError(
            f"timm has no model {model!r}" + (f", did you mean {' or '.join(near)}?" * bool(near)),
            remedy=f"correct the teacher's model; list all models: {LIST_MODELS}",
        )
    return config
