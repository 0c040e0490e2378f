"""Draw the parameters of a view from the seed, its scene's id, its role and its number (tests: test_plan.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.views.draws import KeyedDraws, key_digest
from rsmtdf_core.views.geometric import draw_box, draw_geometry, draw_orientation
from rsmtdf_core.views.photometric import draw_photometric
from rsmtdf_core.views.settings import ViewSettings
from rsmtdf_core.views.view import Box, Geometry, Photometric


class Parameters(NamedTuple):
    """The drawn parameters of a view, as in `View`."""

    geometry: Geometry
    photometric: Photometric | None
    box: Box | None


@dataclass(frozen=True)
class ViewSampler:
    """Draw each view from its own generators.

    Attributes:
        scenes: the scenes, which views refer to by index.
        settings: the distributions of the views.
        seed: seed of all draws.
    """

    scenes: tuple[Scene, ...]
    settings: ViewSettings
    seed: int

    def labeled(self, scene: int, number: int) -> Parameters:
        """Draw a labeled view."""
        return Parameters(self._geometry(scene, number, "labeled"), None, None)

    def unlabeled(self, scene: int, number: int, *, paired: bool) -> Parameters:
        """Draw an unlabeled view; only a view with a partner has a box."""
        geometry = self._geometry(scene, number, "unlabeled")
        change = draw_photometric(self.settings, self._draws(scene, number, "photometric"))
        if not paired:
            return Parameters(geometry, change, None)
        draws = self._draws(scene, number, "cutmix")
        return Parameters(
            geometry, change, draw_box(self.settings.cutmix, self.settings.crop, draws)
        )

    def order(self, scenes: Sequence[int], number: int) -> list[int]:
        """Return the scenes in the random order of a view number, in which neighbors become partners."""
        digests = {scene: key_digest(self.seed, number, self.scenes[scene].id) for scene in scenes}
        return sorted(scenes, key=digests.__getitem__)

    def _geometry(self, scene: int, number: int, role: str) -> Geometry:
        size = self.scenes[scene].width, self.scenes[scene].height
        draws = self._draws(scene, number, f"{role} geometry")
        geometry = draw_geometry(self.settings, *size, draws)
        if not (self.settings.vertical_flip or self.settings.quarter_turns):
            return geometry
        # From a separate key, so that these settings change no other draw.
        draws = self._draws(scene, number, f"{role} orientation")
        return draw_orientation(self.settings, geometry, draws)

    def _draws(self, scene: int, number: int, purpose: str) -> KeyedDraws:
        return KeyedDraws(self.seed, self.scenes[scene].id, number, purpose)
