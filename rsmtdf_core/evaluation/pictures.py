"""Pictures of an evaluation, kept under an import path for other programs; see `rsmtdf_core.charts`."""

from rsmtdf_core.charts.confusion import confusion_picture

__all__ = ["confusion_picture"]
