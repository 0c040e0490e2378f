"""The base of every settings model: strict, frozen, and compared field by field."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of settings: unknown keys are refused and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
