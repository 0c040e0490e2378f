"""Is a store still what was promised? Files, checksums, pixels, and the teacher's own word."""

from pipeline.cache.verify.report import Check, Depth, StoreChecks, VerifyReport
from pipeline.cache.verify.run import verify

__all__ = ["Check", "Depth", "StoreChecks", "VerifyReport", "verify"]
