"""Score functions for `ppo.score` in params.yaml: `scores.FILE:FUNCTION`. PPO runs again when one changes."""
