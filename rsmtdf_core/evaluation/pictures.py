"""The pictures of an evaluation under the name that other programs import; `rsmtdf_core.charts` draws them."""

from rsmtdf_core.charts.confusion import confusion_picture

__all__ = ["confusion_picture"]
