"""How a set differs from its version before: warnings in the log, a page and a picture beside the gate's pages, and links in MLflow."""

from alignloop.lineage.drift.report import report

__all__ = ["report"]
