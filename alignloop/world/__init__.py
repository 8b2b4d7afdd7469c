"""The built-in environment: facts, users, labelers and a ground-truth (gold) score, from a seed."""
