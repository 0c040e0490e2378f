"""Class maps of images and rasters of any size: a trained student needs no teacher and no cache."""

from pipeline.predict.run import predict
from pipeline.predict.settings import PredictSettings

__all__ = ["PredictSettings", "predict"]
