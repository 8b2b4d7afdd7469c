"""Demonstrations by a teacher: a model behind an OpenAI-compatible endpoint."""
