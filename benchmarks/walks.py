"""The task of CarperAI/trlx's `examples/randomwalks`: find a short way to the goal of a directed graph, node after node.

A node is a letter and a letter is a token; a prompt is the start, a response the nodes that follow it and the end token. The order of
draws is the peer's, so that the seed makes the peer's graph and walks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SEED, NODES, GOAL, LONGEST = (
    1000,
    21,
    0,
    10,
)  # the goal absorbs; a way holds at most 10 nodes, start and goal counted
PAD, END, FIRST = 0, 1, 2  # node n is token FIRST + n
VOCABULARY = FIRST + NODES


@dataclass(frozen=True)
class Task:
    """A graph's edges (21, 21), the length of the shortest way from each node, and 1,000 random walks as token rows."""

    edges: np.ndarray
    shortest: list[int]
    walks: list[list[int]]

    @property
    def prompts(self) -> list[list[int]]:
        """One start each, the goal left out."""
        return [[FIRST + node] for node in range(NODES) if node != GOAL]

    def optimality(self, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> Tensor:
        """(10 − L)/(10 − L*) in [0, 1] for each answer: L nodes until the goal, 10 if the goal is not reached by edges that exist."""
        ways = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        return torch.tensor(
            [(LONGEST - self.length(way)) / (LONGEST - self.shortest[way[0] - FIRST]) for way in ways]
        )

    def length(self, way: Sequence[int]) -> int:
        """Nodes of the way up to the goal; what follows the goal does not count."""
        nodes = [token - FIRST for token in way]
        for place, node in enumerate(nodes[:LONGEST]):
            if node < 0 or (place and not self.edges[nodes[place - 1], node]):
                return LONGEST
            if node == GOAL:
                return place + 1
        return LONGEST


def make_task(walks: int = 1000) -> Task:
    """Edges are drawn with probability 0.1 until every node has one out; walks start anywhere but at the goal and stop there."""
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
        way = [node]
        while node != GOAL and len(way) < LONGEST:
            node = random.choice(np.flatnonzero(edges[node]))
            way.append(int(node))
        rows.append([FIRST + node for node in way])
    return Task(edges, _shortest(edges), rows)


def _shortest(edges: np.ndarray) -> list[int]:
    """Nodes of the shortest way from every node to the goal, 10 where there is none within 10."""
    lengths = [LONGEST] * NODES
    lengths[GOAL] = 1
    for length in range(2, LONGEST):
        for node in range(NODES):
            if lengths[node] == LONGEST and any(
                edges[node, after] and lengths[after] == length - 1 for after in range(NODES)
            ):
                lengths[node] = length
    return lengths
