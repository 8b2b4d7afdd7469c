"""A stage that needs more memory than is free is refused with what to change, and the default never is."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignloop.checks import machine_memory, stage_memory
from alignloop.checks.size_table import SHAPES
from alignloop.checks.stage_memory import NotEnoughMemory, built_in_shape, check_fit, check_stage, usages
from alignloop.core.memory_estimate import Usage
from alignloop.core.model_shape import shape_of
from alignloop.params import Params

MEMINFO = "MemTotal:  2000 kB\nMemAvailable:  700 kB\nSwapFree:  100 kB\nHugePages_Total:  0\n"


def test_more_than_is_free_is_an_error_with_the_largest_parts_and_what_to_change(params: Params) -> None:
    usage = Usage("ppo", {"policy": 4 * 10**9, "Adam": 8 * 10**9, "passes": 10**9})
    [finding] = check_fit(params, [usage], "cpu", 13 * 10**9)
    assert finding.severity == "error"
    assert finding.message == (
        "ppo needs about 14 GB on cpu (Adam 8.0 GB, policy 4.0 GB, passes 1.0 GB, …), and 13 GB are free"
    )
    assert finding.remedy.startswith("set ppo.lora: {rank: 16, alpha: 32}, ppo.reference: adapter")
    assert finding.remedy.endswith("memory_check: warn tries all the same")
    [finding] = check_fit(params.model_copy(update={"memory_check": "warn"}), [usage], "cpu", 13 * 10**9)
    assert finding.severity == "warning"
    [finding] = check_fit(params, [usage], "cpu", 14 * 10**9)
    assert (finding.severity, finding.remedy != "") == ("warning", True), "it fits, and tightly"
    [finding] = check_fit(params, [usage], "cpu", 10**11)
    assert finding.severity == "ok"
    compute = params.compute.model_copy(update={"processes": 2})
    [finding] = check_fit(params.model_copy(update={"compute": compute}), [usage], "cpu", 26 * 10**9)
    assert finding.message.startswith("ppo needs about 27 GB on cpu (2 processes, each with Adam 8.0 GB")
    [finding] = check_fit(params, [usage], "cpu", None)
    assert finding.severity == "note"


@pytest.mark.parametrize(
    ("part", "remedy"),
    [("decoding", "lower decoding.responses_per_batch"), ("passes", "lower compute.tokens_per_pass")],
)
def test_the_remedy_is_for_the_largest_part(params: Params, part: str, remedy: str) -> None:
    [finding] = check_fit(params, [Usage("evaluate", {part: 10**9, "weights": 1})], "cpu", 10**9)
    assert finding.remedy.startswith(remedy)


def test_the_default_fits_a_machine_of_two_gigabytes(params: Params) -> None:
    needs = usages(params, built_in_shape(params), "cpu")
    assert [each.stage for each in needs] == [stage for stage in stage_memory.STAGES if stage != "dpo"]
    assert {each.severity for each in check_fit(params, needs, "cpu", 2 * 10**9)} <= {"ok", "warning"}


def test_the_built_in_shape_is_that_of_the_model_that_is_made(params: Params, tmp_path: Path) -> None:
    from alignloop.core.models import new_policy, save_policy
    from alignloop.core.tokens import train_tokenizer

    plan, tokenizer = params.pretrain, train_tokenizer(["a door"], 300)
    model = new_policy(tokenizer, plan.layers, plan.width, plan.heads, plan.context, seed=0)
    save_policy(model, tokenizer, tmp_path)
    small = params.model_copy(update={"pretrain": plan.model_copy(update={"vocabulary": len(tokenizer)})})
    assert built_in_shape(small) == shape_of(tmp_path)


def test_a_stage_is_refused_before_it_loads_and_a_folder_without_a_model_is_left_to_it(
    params: Params, tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_memory, "free_memory", lambda device: 10**8)
    with pytest.raises(NotEnoughMemory, match=r"^sft needs about .* are free; set sft\.lora"):
        check_stage(params, "sft", {"base": tiny_policy})
    with pytest.raises(NotEnoughMemory, match=r"^pretrain needs about"):
        check_stage(params, "pretrain", {})
    assert check_stage(params, "sft", {"base": tmp_path}) is None
    assert check_stage(params, "prepare", {}) is None
    monkeypatch.setattr(stage_memory, "free_memory", lambda device: 10**11)
    for stage in stage_memory.STAGES:
        expected = check_stage(params, stage, dict.fromkeys(("base", "policy", "sft", "start"), tiny_policy))
        assert expected is not None
        assert expected > stage_memory.PROGRAM["cpu"]


def test_free_memory_is_what_the_host_and_the_control_group_both_leave(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    assert machine_memory._free_in_host(tmp_path / "meminfo") == 800 * 1024
    assert machine_memory._free_in_host(tmp_path / "none") is None
    assert machine_memory._free_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 50\n")
    assert machine_memory._free_in_group(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory._free_in_group(tmp_path) is None
    assert (machine_memory.free_memory("cpu") or 0) > 0


def test_long_prompts_are_reckoned_from_the_prepared_ones(tmp_path: Path) -> None:
    from alignloop.data.record_files import write
    from alignloop.records import Prompt
    from tests.rows import prompt, turns

    assert stage_memory.long_prompt(tmp_path / "none.jsonl") == stage_memory.PROMPT
    rows = [prompt(number, messages=turns("x" * 400)) for number in range(10)]
    write(tmp_path / "prompts.jsonl", map(Prompt.model_validate, rows))
    assert stage_memory.long_prompt(tmp_path / "prompts.jsonl") == 100


def test_a_sharded_model_is_shared_by_the_processes_and_is_whole_while_it_decodes(params: Params) -> None:
    shape = SHAPES["Qwen2.5-7B"]
    compute = params.compute.model_copy(update={"processes": 8, "shard": "full"})
    [whole, shared] = [
        {usage.stage: usage for usage in usages(each, shape, "cuda")}["ppo"]
        for each in (params, params.model_copy(update={"compute": compute}))
    ]
    assert shared.parts["Adam"] == whole.parts["Adam"] // 8
    assert shared.parts["whole policy"] == 4 * shape.weights
    assert shared.parts["passes"] == whole.parts["passes"]


def test_the_peak_is_this_process_s_own_and_stays_when_memory_is_given_back() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from alignloop.checks.machine_memory import peak_memory\n"
        "before = peak_memory('cpu'); taken = bytearray(b'1') * 200_000_000\n"
        "within = peak_memory('cpu'); del taken\n"
        "print(before, within, peak_memory('cpu'))"
    )
    large = bytearray(b"1") * 300_000_000  # of the parent: none of the child's
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path.cwd())], capture_output=True, text=True, check=True
    )
    before, within, after = map(int, done.stdout.split())
    assert len(large) > before
    assert within - before == pytest.approx(200e6, rel=0.05)
    assert after == pytest.approx(within, rel=0.01)
