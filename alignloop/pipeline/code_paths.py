"""Which paths of dvc.yaml are the project's code."""

CODE = "alignloop"  # the folder in which every dependency is code
SCORES = "scores"  # the folder of a user's score functions: dependencies of PPO, whatever imports them
TOOLS = "own_tools"  # that of a user's tools: of SFT and all stages that draw responses


def is_code(path: str) -> bool:
    """Whether a path, relative to the project's root, is code."""
    folders = (CODE, SCORES, TOOLS)
    return path in folders or path.startswith(tuple(f"{folder}/" for folder in folders))
