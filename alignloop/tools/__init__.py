"""Tools that responses may call while they are drawn: who answers, within which limits, in which tokens."""
