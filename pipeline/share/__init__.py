"""Shares a run or an export as one folder with a model card, and fetches such a folder."""

from pipeline.share.listing import Listing
from pipeline.share.run import Pulled, Pushed, pull, push

__all__ = ["Listing", "Pulled", "Pushed", "pull", "push"]
