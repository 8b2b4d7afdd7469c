"""The pipeline's stages as methods for experiments in one seed's folder; models may be a finished run's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from alignloop import params as parameters
from alignloop.core.models import context_of, load_policy
from alignloop.core.reward_metrics import correct_pairs
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score, score_rankings
from alignloop.core.sampler import OwnSampler
from alignloop.core.tokens import pad_of
from alignloop.data.formats.importer import ranks_of
from alignloop.data.record_files import read, write
from alignloop.evaluation.responses import kl_to, load_test_set, respond, summary
from alignloop.files import write_json
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.params.dpo import Dpo
from alignloop.params.ppo import Ppo
from alignloop.progress import Progress
from alignloop.records import Demonstration, Prompt, Ranking, Rollout
from alignloop.stages.dpo import dpo
from alignloop.stages.ingest import ingest
from alignloop.stages.label import label
from alignloop.stages.ppo import ppo
from alignloop.stages.prepare import prepare
from alignloop.stages.pretrain import pretrain
from alignloop.stages.reward import reward
from alignloop.stages.sample import sample
from alignloop.stages.sft import sft
from alignloop.training.checkpoints import Checkpoint
from alignloop.training.encoding import demonstration_rows, ranked_rows
from alignloop.world.gold import judge

PROJECT = Path(__file__).parents[1]


def load(changes: Mapping[str, Any]) -> Params:
    """The parameters of params.yaml with `changes` merged in, section by section."""
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    return parameters.parse(merged(values, changes), "params.yaml")


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes` merged in, mapping by mapping."""
    both = {
        key: merged(values[key], new) if isinstance(values.get(key), dict) else new
        for key, new in changes.items()
    }
    return {**values, **both}


@dataclass(frozen=True)
class Laboratory:
    """One seed's folder with `data/`, `models/` and `metrics/`; existing results are not computed again."""

    root: Path
    params: Params

    def set_up(self, run: Path | None) -> None:
        """Provide the records, the base and the SFT model: new ones, or those of a finished run."""
        names = ("data/prompts", "data/demonstrations", "data/corpus", "models/base", "models/sft")
        if run is not None:
            for name in names:
                place = self.root / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    place.symlink_to((run / name).resolve())
            return
        raw, sources = self.root / "data/raw", self.root / "data/sources"
        forgotten = PROJECT / "data/forgotten.txt"
        prompts, demonstrations, corpus, base, model = (self.root / name for name in names)
        self._unless(raw, bind(ingest, self.params)(sources, forgotten, raw, self._numbers("ingest")))
        imported = self.root / "data/imported"
        self._unless(
            imported,
            bind(prepare, self.params)(
                raw, prompts, demonstrations, corpus, rankings=imported, metrics=self._numbers("prepare")
            ),
        )
        self._unless(
            base,
            bind(pretrain, self.params)(
                Checkpoint.fresh(self.root, "pretrain"),
                corpus,
                base,
                self._numbers("pretrain"),
                self._curve("pretrain"),
            ),
        )
        places = (base, demonstrations, corpus, model, self._numbers("sft"), self._curve("sft"))
        self._unless(model, bind(sft, self.params)(Checkpoint.fresh(self.root, "sft"), *places))

    def rank(
        self, name: str, policy: str, earlier: str | None = None, round: str = "r1", choose: str | None = None
    ) -> None:
        """Write rankings of a policy's responses to `data/rankings/name`, with those of `earlier`.

        A round's prompts are the same for every policy, unless the reward model `choose` chooses them.
        """
        plan = self.params.sample.model_copy(update={"choose": "disagreement" if choose else "random"})
        samples, out = self.root / f"data/samples/{name}.jsonl", self._rankings(name)
        before = self.root / "data/none"
        before.mkdir(exist_ok=True)
        self._unless(
            samples,
            bind(sample, self.params.model_copy(update={"sample": plan}))(
                round,
                self.model(policy),
                self.root / "data/prompts",
                samples,
                self._numbers(f"sample-{name}"),
                self.model(choose or "sft"),
            ),
        )
        known = self._rankings(earlier) if earlier else before
        self._unless(
            out,
            bind(label, self.params)(
                round,
                samples,
                earlier=known,
                out=out,
                metrics=self._numbers(f"label-{name}"),
                report=self._numbers(f"labels-{name}").with_suffix(".md"),
            ),
        )

    def fewer(self, name: str, of: str, share: float) -> None:
        """Write a set with the first `share` of another's training rankings and all validation rankings."""
        rankings = read(self._rankings(of), Ranking)
        learned = [ranking for ranking in rankings if ranking.split == "train"]
        kept = learned[: round(share * len(learned))]
        write(
            self._rankings(name) / "r1.jsonl",
            [*kept, *(ranking for ranking in rankings if ranking.split != "train")],
        )

    def pairs(self, name: str, of: str) -> float:
        """Write a set with each training pair as a ranking of two; returns the pairs per ranking."""
        rankings = read(self._rankings(of), Ranking)
        learned = [ranking for ranking in rankings if ranking.split == "train"]
        apart = [
            ranking.model_copy(
                update={
                    "id": f"{ranking.id}-{a}-{b}",
                    "responses": (ranking.responses[a], ranking.responses[b]),
                    "ranks": (1, 2),
                }
            )
            for ranking in learned
            for a in range(len(ranking.ranks))
            for b in range(len(ranking.ranks))
            if ranking.ranks[a] < ranking.ranks[b]
        ]
        write(
            self._rankings(name) / "r1.jsonl",
            [*apart, *(ranking for ranking in rankings if ranking.split != "train")],
        )
        return len(apart) / len(learned)

    def accuracy_by_gold(self, name: str, rankings: str) -> float:
        """The share of the pairs with different gold scores that a reward model orders as gold does.

        The responses are those of a set's validation prompts.
        """
        unseen = [each for each in read(self._rankings(rankings), Ranking) if each.split == "valid"]
        tokenizer = load_policy(self.model("sft"))[1]
        ranked, _ = ranked_rows(tokenizer, unseen, context_of(self.model("sft")))
        model = RewardModel.load(self.model(name))
        scores = score_rankings(model, [row for _, row in ranked], pad_of(tokenizer))
        golds = [[judge(ranking.prompt, text).score for text in ranking.responses] for ranking, _ in ranked]
        right, pairs = correct_pairs(scores, [ranks_of(each, "highest") for each in golds])
        return right / pairs

    def learn_reward(self, name: str, rankings: str, **changes: Any) -> dict[str, Any]:
        """Train a reward model from SFT on a set's rankings; returns its metrics and accuracies."""
        out, numbers = self.model(name), self._numbers(name)
        params = self.params.model_copy(update={"reward": self.params.reward.model_copy(update=changes)})
        sft = self.model("sft")
        places = (
            sft,
            sft,
            self._rankings(rankings),
            self.root / "data/demonstrations",
            out,
            numbers,
            self._curve(name),
        )
        self._unless(out, bind(reward, params)(Checkpoint.fresh(self.root, name), "r1", *places))
        return json.loads(numbers.read_text(encoding="utf-8"))

    def improve(self, name: str, start: str, reward_model: str, by: str = "ppo", **changes: Any) -> None:
        """Train a policy from `start` by PPO against a reward model, or by DPO on the rankings `r1`.

        `changes` are those of the section of params.yaml that is named as the method.
        """
        out, rollouts = self.model(name), self.root / f"data/policy/{name}"
        plan: Ppo | Dpo = getattr(self.params, by)
        if isinstance(plan, Ppo):
            changes |= {"kl": plan.kl.model_copy(update=changes.get("kl", {}))}
        params = self.params.model_copy(update={by: plan.model_copy(update=changes)})
        models = (self.model(start), self.model(reward_model), self.model("sft"))
        places = (
            self.root / "data/prompts",
            self.root / "data/corpus",
            out,
            rollouts,
            self._numbers(name),
            self._curve(name),
        )
        stage = bind({"ppo": ppo, "dpo": dpo}[by], params)
        self._unless(out, stage(Checkpoint.fresh(self.root, name), "r1", *models, *places))

    def path(self, name: str) -> list[dict[str, float]]:
        """The mean score, KL and gold score of the rollouts of each PPO step."""
        prompts = {prompt.id: prompt for prompt in read(self.root / "data/prompts/train.jsonl", Prompt)}
        steps: dict[int, list[Rollout]] = {}
        for rollout in read(self.root / f"data/policy/{name}/rollouts.jsonl", Rollout):
            steps.setdefault(rollout.step, []).append(rollout)
        return [
            {
                "step": step,
                "kl": fmean(rollout.kl for rollout in drawn),
                "score": fmean(rollout.score for rollout in drawn),
                "gold": fmean(judge(prompts[rollout.prompt], rollout.response).score for rollout in drawn),
            }
            for step, drawn in sorted(steps.items())
        ]

    def measure(self, name: str, reward_model: str) -> dict[str, Any]:
        """Metrics of a policy's responses to the test prompts, with the gold score of each."""
        file = self._numbers(f"measured-{name}")
        if not file.exists():
            plan, decoding = self.params.evaluate, self.params.decoding
            data = self.root / "data"
            tests = load_test_set(plan, data / "prompts", data / "corpus", self.model(reward_model))
            found = respond(
                self.params.seed,
                plan,
                decoding,
                self.params.tools,
                name=name,
                path=self.model(name),
                tests=tests,
                sampler=OwnSampler(),
            )
            numbers = summary(found)
            kept = {
                key: numbers[key] for key in ("gold", "passed", "score", "length", "distinct_2", "perplexity")
            }
            kl = kl_to(load_policy(self.model("sft"))[0], found, plan.temperature)
            write_json(file, {**kept, "kl": kl, "golds": [each.gold for each in found.responses]})
        return json.loads(file.read_text(encoding="utf-8"))

    def scores_of_demonstrations(self, name: str, split: str) -> list[float]:
        """The scores that a reward model, loaded from disk, gives the demonstrations of a split."""
        model, tokenizer = RewardModel.load(self.model(name)), load_policy(self.model("sft"))[1]
        demonstrations = read(self.root / f"data/demonstrations/{split}.jsonl", Demonstration)
        rows, _ = demonstration_rows(tokenizer, demonstrations, "last", context_of(self.model("sft")))
        return score(model, [row.ids for row in rows], pad_of(tokenizer)).tolist()

    def model(self, name: str) -> Path:
        return self.root / "models" / name

    def _rankings(self, name: str) -> Path:
        return self.root / "data/rankings" / name

    def _numbers(self, name: str) -> Path:
        return self.root / f"metrics/{name}.json"

    def _curve(self, name: str) -> Path:
        return self.root / f"plots/{name}.csv"

    def _unless(self, out: Path, stage: Iterator[Progress]) -> None:
        """Run a stage to its end, unless its output exists."""
        if not out.exists():
            for _ in stage:
                pass
