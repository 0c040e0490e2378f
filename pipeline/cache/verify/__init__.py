"""Verify that a store is intact: its files, checksums, pixels and tokens."""

from pipeline.cache.verify.report import Check, Depth, StoreChecks, VerifyReport
from pipeline.cache.verify.run import verify

__all__ = ["Check", "Depth", "StoreChecks", "VerifyReport", "verify"]
