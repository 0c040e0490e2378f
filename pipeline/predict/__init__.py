"""Predicts class maps of images and rasters of any size. A trained student needs neither teachers nor a cache."""

from pipeline.predict.run import predict
from pipeline.predict.settings import PredictSettings

__all__ = ["PredictSettings", "predict"]
