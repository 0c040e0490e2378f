"""The base of every settings model: strict, frozen, and compared field by field."""

from pydantic import BaseModel, ConfigDict

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Settings(BaseModel):
    """A group of settings: unknown keys are refused and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
