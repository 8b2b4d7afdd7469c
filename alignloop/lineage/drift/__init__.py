"""Data drift: compare a validated data set with its version before, as warnings, a page and a picture."""

from alignloop.lineage.drift.report import report

__all__ = ["report"]
