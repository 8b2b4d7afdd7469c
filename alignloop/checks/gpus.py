"""`python -m alignloop.checks.gpus`: the bytes of each GPU here, as JSON; in a process that imports torch."""

import json


def main() -> None:
    """Print the list; it is empty where there is none."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    print(json.dumps([torch.cuda.get_device_properties(place).total_memory for place in range(count)]))


if __name__ == "__main__":
    main()
