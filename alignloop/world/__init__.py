"""The embedded assistant world: facts, users, labelers and a gold judgement, generated from a seed."""
