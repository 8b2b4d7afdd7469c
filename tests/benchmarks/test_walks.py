"""The random-walks task equals trlx's at its seed, and optimality is worked by hand."""

from collections import defaultdict

import pytest
import torch

from benchmarks.walks import END, FIRST, PAD, Task, make_task


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task()


def test_the_walks_equal_trlxs_at_its_seed(task: Task):
    scores = task.optimality([walk[:1] for walk in task.walks], [walk[1:] for walk in task.walks])
    assert len(task.walks) == 1000
    assert sum(walk[-1] == FIRST for walk in task.walks) == 560
    assert float(scores.mean()) == pytest.approx(0.3515, abs=5e-5)
    best: dict[int, float] = defaultdict(float)
    for walk, score in zip(task.walks, scores.tolist(), strict=True):
        best[walk[0]] = max(best[walk[0]], score)
    assert len(best) == len(task.prompts) == 20
    assert sum(best.values()) / 20 == pytest.approx(0.992, abs=5e-4)


def test_optimality_by_hand():
    edges = torch.zeros(21, 21, dtype=torch.bool)
    for start, end in ((3, 2), (2, 1), (1, 0), (3, 0), (2, 3)):
        edges[start, end] = True
    task = Task(edges.numpy(), [1, 2, 3, 2, *[10] * 17], [])

    def worth(*way: int) -> float:
        nodes = [FIRST + node for node in way]
        return float(task.optimality([nodes[:1]], [nodes[1:]])[0])

    assert worth(3, 0) == 1, "the shortest way"
    assert worth(3, 2, 1, 0) == 0.75, "four nodes where two do: 6 of 8"
    assert worth(3, 0, 5, 7) == 1, "what follows the goal does not count"
    assert worth(3, 1, 0) == 0, "an edge that does not exist"
    assert worth(3, 2, 1) == worth(3) == 0, "the goal is not reached"
    assert worth(3, 2, 3, 2, 3, 2, 3, 2, 3, 0) == 0, "ten nodes are as good as none"
    assert worth(3, 2, 3, 2, 3, 2, 3, 2, 1, 0) == 0
    assert worth(2, 3, 2, 3, 2, 3, 2, 1, 0) == pytest.approx(1 / 7)
    for steering in (PAD, END):
        assert float(task.optimality([[FIRST + 3]], [[steering, FIRST]])[0]) == 0
