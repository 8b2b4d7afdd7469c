"""Prefect tasks, one per stage: their names, retries, timeouts and tags."""

from alignloop.io import environment

environment.settle()  # before Prefect is imported
