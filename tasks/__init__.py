"""Prefect tasks, one per stage: their names, retries, timeouts and tags."""

from alignloop.pipeline import environment

environment.settle()  # before Prefect is imported
