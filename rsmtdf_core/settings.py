"""Base class and shared field types of all settings."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Every number has bounds, so that a typo is reported with its key and not as a later failure. The bounds are far beyond
# useful values. They also exclude NaN and infinity.
MOST_COUNT = 1_000_000_000
MOST_SIDE = (
    4096  # px: a view of this size has 50 MB, and 85,000 tokens of a ViT with patches of 14 px
)
LONGEST_NAME = 255  # bytes; the limit of common file systems
LONGEST_PATH = 4096

Seed = Annotated[int, Field(ge=0, le=2**62)]
Mean = Annotated[float, Field(ge=-10, le=10)]
Spread = Annotated[float, Field(gt=0, ge=1e-6, le=10)]


def user_path(path: Path) -> Path:
    """Expand `~` in a path to the home folder.

    Raises:
        ValueError: If no file can have this path, or the home folder is unknown.
    """
    text = str(path)
    if "\0" in text or len(text) > LONGEST_PATH:
        raise ValueError("expected a path, found one that no file can have")
    if any(len(part.encode(errors="surrogatepass")) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"expected names of at most {LONGEST_NAME} bytes in a path")
    try:
        return path.expanduser()
    except RuntimeError as unknown:
        raise ValueError(f"{text}: {unknown}") from None


def _share(value: object) -> object:
    """Convert a share in the form of a fraction, such as '1/8'."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError):
        return value


def _weights(text: str) -> str:
    if text not in {"hub", "random"}:
        user_path(Path(text))
    return text


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1)]
UserPath = Annotated[Path, AfterValidator(user_path)]
WeightsName = Annotated[str, Field(min_length=1), AfterValidator(_weights)]


class Settings(BaseModel):
    """A group of settings. Unknown keys are refused, and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
