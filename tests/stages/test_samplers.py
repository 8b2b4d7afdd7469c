"""The stages that draw responses, through a stub of vLLM at an address, or started by the stage itself."""

import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from alignloop.__main__ import main
from alignloop.data.record_files import read
from alignloop.inference.http_client import SamplerError
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.pipeline.overrides import override
from alignloop.progress import Progress
from alignloop.records import Demonstration, Samples
from alignloop.stages.ppo import ppo
from alignloop.stages.sample import sample
from alignloop.training.checkpoints import Checkpoint
from tests.inference import stub_server
from tests.inference.stub_server import Stub
from tests.stages.loop import PROJECT, Loop, tiny

SIZES: dict[str, Any] = {
    "ppo": {"steps": 3, "learning_rate": 5e-3},
    "evaluate": {"prompts": 8, "documents": 4},
}
METRICS = {"sampler_gap", "sampler_truncated_share"}


@pytest.fixture(scope="module")
def loop(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """An SFT model and a reward model."""
    made = Loop(tmp_path_factory.mktemp("loop"), tiny_policy)
    made.pretrain(tiny())
    made.sft(tiny())
    made.reward(tiny())
    return made


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def stub(loop: Loop) -> Iterator[Stub]:
    with Stub(loop.root / "sft") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def through(stub: Stub, best_of: Sequence[int] = ()) -> Params:
    rollout = {"engine": "vllm", "url": stub.url, "max_concurrency": 4}
    return tiny(rollout=rollout, ppo=SIZES["ppo"], evaluate={**SIZES["evaluate"], "best_of": list(best_of)})


def training(loop: Loop, params: Params, out: Path) -> Iterator[Progress]:
    """PPO with a checkpoint after every step, in a folder of its own."""
    at = loop.root
    return bind(ppo, params)(
        Checkpoint(out / "checkpoints", "ppo", "f", 1),
        "r1",
        start=at / "sft",
        reward=at / "reward",
        sft=at / "sft",
        prompts=at / "prompts",
        corpus=at / "corpus",
        out=out / "policy",
        rollouts=out / "rollouts",
        metrics=out / "ppo.json",
        plots=out / "ppo.csv",
    )


def written(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_ppo_sample_and_evaluate_draw_by_the_server_and_know_the_gap(loop: Loop, stub: Stub):
    own = loop.ppo(tiny(**SIZES), "own")
    assert not METRICS & own[0].metrics.keys()
    steps = loop.ppo(through(stub), "policy")
    assert all(1 <= step.metrics["sampler_gap"] < 1 + 1e-4 for step in steps)
    assert {step.metrics["sampler_truncated_share"] for step in steps} == {0.0}
    assert "sampler_gap" in (loop.root / "policy.csv").read_text().splitlines()[0]
    assert "sampler" not in (loop.root / "own.csv").read_text()
    assert stub.reloads == 3, "new weights for each step"
    drawn = stub.drawn
    loop.next_round(through(stub, best_of=[2]), "policy")
    assert stub.reloads == 3 + 1 + 3 + 1, "sample; base, SFT and policy; SFT again for best of n"
    assert stub.drawn - drawn > 9 * 3 + 3 * 8 + 8 * 2
    assert loop.numbers("evaluate")["best_of"]["2"]["length"] > 0
    assert all(len(each.responses) == 3 for each in read(loop.root / "samples.jsonl", Samples))


def test_ppo_left_after_a_step_ends_at_the_same_bytes_by_another_server(
    loop: Loop, stub: Stub, tmp_path: Path
):
    whole = list(training(loop, through(stub), tmp_path / "whole"))
    broken = tmp_path / "broken"
    work: Any = training(loop, through(stub), broken)
    next(work)
    next(work)
    work.close()  # a killed process leaves the checkpoint of its first step, and no more
    stub.faults.gone_after = stub.drawn + 5
    work = training(loop, through(stub), broken)
    with pytest.raises(SamplerError, match="finished steps are kept"):
        list(work)
    stub.faults.gone_after = None
    with Stub(loop.root / "sft") as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.02,))
        thread.start()
        told = list(training(loop, through(other), broken))
        other.shutdown()
        thread.join()
    assert [line.metrics for line in told] == [line.metrics for line in whole]
    assert [line.recalled for line in told] == [True, False, False]
    assert written(broken) == written(tmp_path / "whole")


def test_a_server_that_the_stage_starts_ends_with_it(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_url: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    command = f"{sys.executable} {stub_server.__file__} {{model}} {{port}}"
    params = tiny(rollout={"engine": "vllm", "url": unused_url, "command": command, "start_timeout_s": 60.0})
    told = list(
        bind(sample, params)(
            "r1",
            loop.root / "sft",
            loop.root / "prompts",
            tmp_path / "samples.jsonl",
            tmp_path / "sample.json",
            loop.root / "sft",
        )
    )
    assert told[-1].step == 9
    assert len(read(tmp_path / "samples.jsonl", Samples)) == 9
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{unused_url}/health", trust_env=False)


def test_best_of_draws_by_the_server(loop: Loop, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    changes = {"rollout.engine": "vllm", "rollout.url": stub.url, "decoding.max_new_tokens": 5}
    override(tmp_path / "params.yaml", changes=changes)
    at = loop.root
    command = ["best-of", "--policy", str(at / "sft"), "--reward", str(at / "reward"), "--out", "best.jsonl"]
    assert main([*command, "--prompts", str(at / "prompts" / "train.jsonl"), "--n", "3", "--limit", "4"]) == 0
    assert len(read(tmp_path / "best.jsonl", Demonstration)) <= 4
    assert len([body for body in stub.requests("/v1/completions") if body["max_tokens"] == 5]) >= 12
