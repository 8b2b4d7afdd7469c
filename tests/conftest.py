"""Every test runs in the project's own environment: nothing phones home, and nothing is written outside the project and tmp_path."""

from alignloop.io import environment

environment.settle()
