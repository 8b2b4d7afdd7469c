"""The plans: which stages run, in which order. How is in tasks/, what is in dvc.yaml, with which numbers is in params.yaml."""

from alignloop.pipeline import environment

environment.settle()  # before Prefect is imported
