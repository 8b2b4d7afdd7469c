"""Prefect flows: which stages run, and in which order.

How a stage runs is in tasks/, what it reads and writes in dvc.yaml, its parameters in params.yaml.
"""

from alignloop.pipeline import environment

environment.configure()  # before Prefect is imported
