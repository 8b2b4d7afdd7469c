"""Which paths of dvc.yaml are the project's code."""

CODE = "alignloop"  # the folder in which every dependency is code
SCORES = "scores"  # the folder of a user's score functions: dependencies of PPO, whatever imports them


def is_code(path: str) -> bool:
    """Whether a path, relative to the project's root, is code."""
    return path in (CODE, SCORES) or path.startswith((f"{CODE}/", f"{SCORES}/"))
