"""The teacher family."""

from rsmtdf.rsmtdf_core.errors import TeacherError
from torch import nn


class _Patches(nn.Module):
    def __init__(self, patch):
        super().__init__()
        self.project = nn.Conv2d(3, 8, patch, stride=patch)

    def forward(self, images):
        return self.project(images).permute(0, 2, 3, 1).contiguous()


class _Family:
    def hub_file(self, model):
        raise TeacherError(f"there are no weights for {model}", remedy="set weights to random")

    def build(self, settings, crop, state):
        assert state is None
        return _Patches(settings.patch)


PATCHES = _Family()
