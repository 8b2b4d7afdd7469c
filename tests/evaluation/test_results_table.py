"""The results table: a row per model with its own numbers, and empty cells where there is no gold score."""

from alignloop.data.ranking_makers import RULES
from alignloop.evaluation.results_table import gather, headline_of, tables
from tests.evaluation.evaluations import evaluation, win

RANKINGS = {"r1": {"people": 10, "simulated (form)": 30}, "r2": {}}


def cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|") and "--" not in line
    ]


def test_the_table_has_a_row_per_model_with_its_own_numbers():
    first, second = evaluation(1.25, 0.625), evaluation(1.75, 0.75)
    text = tables(gather({"r1": first, "r2": second}, RANKINGS))
    main_table, told, rankings, change, behaviours = text.strip().split("\n\n")
    nothing = ["–"] * 3
    assert cells(main_table)[1:] == [
        ["base", "−1.000", "0.250 [0.219, 0.312]", "–", "–", "0.500", "12.2", "6.50", *nothing],
        ["SFT", "0.500", "–", "–", "0.00", "0.500", "12.2", "6.50", *nothing],
        [
            "r1",
            "1.250",
            "0.625 [0.562, 0.656]",
            "0.562 [0.500, 0.594]",
            "3.25",
            "0.500",
            "12.2",
            "6.50",
            "0.700",
            "0.800",
            "–",
        ],
        [
            "r2",
            "1.750",
            "0.750 [0.688, 0.781]",
            "0.562 [0.500, 0.594]",
            "3.25",
            "0.500",
            "12.2",
            "6.50",
            "0.700",
            "0.800",
            "–",
        ],
    ], "base against SFT is SFT against base, turned round: 1 − [0.6875, 0.78125]"
    assert told.startswith("Wins are judged by gold; 95 % intervals.")
    assert rankings == (
        "Rankings added in each round: r1 40 (75 % simulated (form), 25 % people); r2 none. "
        f"Simulated labelers rank by the rule form, {RULES['form']}."
    )
    assert change == (
        "r2 compared with r1: gold +0.500, wins against SFT +0.125, made-up responses −0.050, "
        "perplexity +0.000."
    )
    assert cells(behaviours) == [
        ["responses that pass gold", "n", "base", "SFT", "r1", "r2"],
        ["fact", "10", *["0.250"] * 4],
        ["false premise", "10", *["0.500"] * 4],
        ["made up, of unknown and false premise", "10", "0.600", "0.450", "0.375", "0.325"],
    ]
    assert len({len(line) for line in main_table.splitlines()}) == 1, "columns line up on a console too"


def test_the_headline_of_a_round_is_its_policys_numbers_flat_and_none_where_there_is_no_gold():
    wins = {"wins_vs_base": 0.875, "wins_vs_sft": 0.625, "wins_vs_before": 0.5625}
    policy = {
        "gold": 1.5,
        "passed": 0.375,
        "made_up": 0.35,
        "distinct_2": 0.5,
        "length": 12.25,
        "perplexity": 6.5,
    }
    rest = {
        "kl_to_sft_nats": evaluation()["kl_to_sft_nats"],
        "reward_accuracy_labelers": 0.7,
        "reward_accuracy_gold": 0.8,
    }
    assert headline_of(evaluation()) == policy | wins | rest
    assert headline_of(evaluation(None))["gold"] is None


def test_best_of_n_has_a_table_of_its_own_where_it_was_evaluated() -> None:
    row = {
        "score": 0.5,
        "gold": 1.25,
        "length": 9.0,
        "wins": win(0.75),
        "kl_if_all_differ_nats": 0.636,
        "kl_measured_nats": 0.5,
    }
    text = tables(gather({"r1": evaluation() | {"best_of": {"4": row}}}, RANKINGS))
    assert "best of SFT's responses" in text
    assert "| 4 " in text
    assert "0.750 [0.688, 0.781]" in text.split("best of SFT's responses")[1]
    assert "best of SFT" not in tables(gather({"r1": evaluation()}, RANKINGS))


def test_without_gold_its_columns_are_empty_and_the_table_says_who_judged():
    results = gather({"r1": evaluation(None)}, RANKINGS)
    text = tables(results)
    assert [row[1] for row in cells(text)[1:]] == ["–", "–", "–"]
    assert "Wins are judged by the round's reward model: these prompts have no gold" in text
    assert "pass gold" not in text, "no table of behaviours without gold"
    assert results["last_against_first"] is None, "one round has none before it"


def test_the_corpus_loss_by_domain_is_a_table_only_where_documents_are_in_domains():
    report = evaluation()
    assert "corpus loss" not in tables(gather({"r1": report}, {"r1": {}}))
    for place, model in enumerate(report["models"].values()):
        losses = {"code": 0.5 + place, "text": 1.25}
        model["domains"] = {name: {"documents": 7, "loss": loss} for name, loss in losses.items()}
    last = tables(gather({"r1": report}, {"r1": {}})).strip().split("\n\n")[-1]
    assert cells(last) == [
        ["corpus loss, nats per token", "documents", "base", "SFT", "r1"],
        ["code", "7", "0.500", "1.500", "2.500"],
        ["text", "7", "1.250", "1.250", "1.250"],
    ]
