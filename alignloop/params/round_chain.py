"""Rounds that build on each other: what each names has to be made by an earlier one."""

from collections.abc import Collection, Iterator, Mapping

from alignloop.params.rounds import Round


def rounds_build_on_earlier_ones(rounds: Mapping[str, Round]) -> Iterator[str]:
    """A sentence for each model and set of rankings that a round names and cannot have."""
    models, rewards = {"models/base", "models/sft"}, {"models/sft"}
    # for each set of rankings, the reward models that have learned from no other rankings
    taught = {"data/rankings/imported": {"models/sft"}}
    for name, plan in rounds.items():
        makers = {"policy": models, "start": models, "reward_start": rewards, "rankings": taught.keys()}
        if plan.by == "adopted":
            del makers["start"]
            yield from _adopted(name, plan, models)
        unknown = {field: known for field, known in makers.items() if getattr(plan, field) not in known}
        for field, known in unknown.items():
            yield (
                f"rounds.{name}.{field}: '{getattr(plan, field)}' is made by no earlier round; known here: "
                f"{', '.join(sorted(known))}"
            )
        starts = taught.get(plan.rankings, set())
        if not unknown and plan.reward_start not in starts:
            yield (
                f"rounds.{name}.reward_start: '{plan.reward_start}' has learned from rankings that "
                f"{plan.rankings} does not hold; "
                f"a reward model of these can start from {', '.join(sorted(starts))}"
            )
        models.add(f"models/{name}/policy")
        rewards.add(f"models/{name}/reward")
        taught[f"data/rankings/{name}"] = {*starts, f"models/{name}/reward"}


def _adopted(name: str, plan: Round, models: Collection[str]) -> Iterator[str]:
    """What a round cannot take: a policy of this loop, or a reward model with rankings new to it."""
    if plan.start in models:
        yield (
            f"rounds.{name}.start: '{plan.start}' is a model of this loop, and by: adopted takes one that "
            "was trained elsewhere; name its folder"
        )
    learned = plan.reward_start.replace("models/", "data/rankings/").removesuffix("/reward")
    if plan.reward_start != "models/sft" and plan.rankings != learned:
        yield (
            f"rounds.{name}.rankings: '{plan.rankings}' is not what '{plan.reward_start}' learned from, and "
            f"nothing is trained by: adopted; set it to {learned}"
        )
