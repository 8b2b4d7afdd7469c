"""Prefect tasks: one per stage, with its name, retries, timeout and tags, and those around the stages."""

from alignloop.pipeline import environment

environment.configure()  # before Prefect is imported
