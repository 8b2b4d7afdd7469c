"""Citations and quotations of a response as parts of the score, against the passages that it was shown."""

import torch
from torch import Tensor

from alignloop.retrieval.citations import check
from alignloop.scoring.drawn import Drawn, fault


class Cited:
    """`citations`: the share of those that were shown, 0 without any; `quotes`: of those that are true, or 1.

    Raises ScoreError where responses cannot search.
    """

    def __init__(self, part: str, kind: str) -> None:
        self.part, self.kind = part, kind

    def __call__(self, drawn: Drawn) -> Tensor:
        if drawn.answers is None:
            raise fault(self.part, (), "no response can search", "add the search to tools.functions")
        found = [check(text, told) for text, told in zip(drawn.texts, drawn.answers, strict=True)]
        if self.kind == "citations":
            return torch.tensor([each.citation_score for each in found])
        return torch.tensor([each.quote_score for each in found])
