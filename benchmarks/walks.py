"""The task of CarperAI/trlx's `examples/randomwalks`: find a short path to a directed graph's goal.

A node is a letter and a letter is a token; a prompt is the start, a response the nodes that follow it and
the end token. The order of random draws is that of trlx, so that the seed gives the same graph and walks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SEED, NODES = 1000, 21
GOAL, LONGEST = 0, 10  # paths end at the goal, and have at most 10 nodes, with start and goal
PAD, END = 0, 1
FIRST = 2  # node n is token FIRST + n
VOCABULARY = FIRST + NODES


@dataclass(frozen=True)
class Task:
    """A graph's edges (21, 21), the length of the shortest path from each node, and random walks."""

    edges: np.ndarray
    shortest: list[int]
    walks: list[list[int]]

    @property
    def prompts(self) -> list[list[int]]:
        """One prompt per start, without the goal."""
        return [[FIRST + node] for node in range(NODES) if node != GOAL]

    def optimality(self, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        """(10 − L)/(10 − L*) in [0, 1] for each response, with L nodes to the goal; L = 10 where it fails."""
        paths = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        return torch.tensor(
            [(LONGEST - self.length(path)) / (LONGEST - self.shortest[path[0] - FIRST]) for path in paths]
        )

    def length(self, path: Sequence[int]) -> int:
        """The number of nodes up to the goal; nodes after it do not count."""
        nodes = [token - FIRST for token in path]
        for place, node in enumerate(nodes[:LONGEST]):
            if node < 0 or (place and not self.edges[nodes[place - 1], node]):
                return LONGEST
            if node == GOAL:
                return place + 1
        return LONGEST


def make_task(walks: int = 1000) -> Task:
    """Draw edges with probability 0.1 until every node has one, and walks that stop at the goal."""
    random = np.random.RandomState(SEED)
    while True:
        edges = random.rand(NODES, NODES) > 0.9
        np.fill_diagonal(edges, False)
        if edges.any(axis=1).all():
            break
    rows = []
    for _ in range(walks):
        node = GOAL
        while node == GOAL:
            node = random.randint(NODES)
        path = [node]
        while node != GOAL and len(path) < LONGEST:
            node = random.choice(np.flatnonzero(edges[node]))
            path.append(int(node))
        rows.append([FIRST + node for node in path])
    return Task(edges, _shortest(edges), rows)


def _shortest(edges: np.ndarray) -> list[int]:
    """The number of nodes of the shortest path from every node to the goal, at most 10."""
    lengths = [LONGEST] * NODES
    lengths[GOAL] = 1
    for length in range(2, LONGEST):
        for node in range(NODES):
            if lengths[node] == LONGEST and any(
                edges[node, after] and lengths[after] == length - 1 for after in range(NODES)
            ):
                lengths[node] = length
    return lengths
