"""What weights of four bits cost a checkpoint: `python -m benchmarks.four_bits FOLDER`.

Prints bytes, loss on a document of this project and the time of its passes, whole and in four bits, and how
far the weights of the packed layers are off.
"""

import argparse
import time
from pathlib import Path

import torch

from alignloop.core.four_bits import FourBitLinear
from alignloop.core.lm_training import mean_loss
from alignloop.core.models import load_policy
from alignloop.core.tokens import Encoded, pad_of

TEXT = Path(__file__).parents[1] / "docs" / "architecture.md"
ROWS, LENGTH = 16, 256


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.four_bits", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a checkpoint")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    (whole, tokenizer), (packed, _) = load_policy(folder), load_policy(folder, four_bits=True)
    ids: list[int] = tokenizer(TEXT.read_text(encoding="utf-8"))["input_ids"][: ROWS * LENGTH]
    rows = [
        Encoded(ids[start : start + LENGTH], [True] * LENGTH)
        for start in range(0, len(ids) - LENGTH + 1, LENGTH)
    ]
    for name, model in (("whole", whole), ("4bit", packed)):
        size = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
        began = time.perf_counter()
        loss = mean_loss(model, rows, pad_of(tokenizer))
        took = time.perf_counter() - began
        print(f"{name:6} {size / 2**20:7,.0f} MiB   loss {loss:.3f} nats a token   {took:.1f} s")
    layers, off, all = dict(whole.named_modules()), 0.0, 0.0
    for name, layer in packed.named_modules():
        if isinstance(layer, FourBitLinear):
            weight = layers[name].get_parameter("weight").detach()
            off += float((weight - layer.whole_weight()).square().sum())
            all += float(weight.square().sum())
    print(f"packed layers are off by {(off / all) ** 0.5:.1%} (root mean square)")


if __name__ == "__main__":
    main()
