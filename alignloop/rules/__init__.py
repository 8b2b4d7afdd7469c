"""Rules of what prompts and responses must not hold: what they look for, and what is done about it."""
