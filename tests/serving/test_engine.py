"""The engine draws what training's sampler draws, whatever else runs; its queue is bounded."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from alignloop.core import generate
from alignloop.core.models import token_rules
from alignloop.core.tokens import decode
from alignloop.phases import phase
from alignloop.serving.batch import Row, RunningBatch
from alignloop.serving.engine import Engine, NotServing, QueueFull
from alignloop.serving.sampling import Sampling
from tests.serving.conftest import Pacer, Policy, Waiter, request

TEXTS = ["Who?", "Is the sea full of salt?", "Who painted the door green, and why is it not blue?"]
EngineOf = Callable[..., Engine]


def sampling(seed: int, tokens: int = 40, temperature: float = 0.7, **more: object) -> Sampling:
    return Sampling(temperature, 1.0, tokens, seed, **more)  # pyright: ignore[reportArgumentType]


def test_rows_that_join_and_leave_draw_the_tokens_that_trainings_sampler_draws(tiny: Policy) -> None:
    model, tokenizer = tiny
    rules = token_rules(tokenizer, model)
    prompts = [tuple(tokenizer.encode(text)) for text in (*TEXTS, TEXTS[0])]
    rows = [Row(prompt, sampling(seed, tokens=12 + 4 * seed)) for seed, prompt in enumerate(prompts)]
    batch, found = RunningBatch(model, rules), {id(row): [] for row in rows}
    waiting, running = list(rows), []
    while waiting or running:
        drawn = batch.step() if batch.rows else []
        if waiting:
            drawn += batch.add([waiting.pop(0)])
        for each in drawn:
            found[id(each.row)].append(each.token)
        running = [each.row for each in drawn if not each.is_last]
        batch.keep(running)
    for row in rows:
        with phase("decoding", row.sampling.max_tokens) as decoding:
            wanted, _ = generate._decode(
                model,
                [list(row.prompt)],
                rules,
                temperature=0.7,
                uniform=torch.tensor([row.numbers], dtype=torch.float64),
                decoding=decoding,
            )
        assert found[id(row)] == wanted[0].tolist()[: len(found[id(row)])]
        assert found[id(row)][-1] == rules.end or len(found[id(row)]) == row.sampling.max_tokens


def test_a_seed_gives_the_same_response_alone_and_among_others(engine_of: EngineOf) -> None:
    engine = engine_of(max_running=4)
    waiters = [Waiter() for _ in range(12)]
    for seed, waiter in enumerate(waiters):
        engine.submit(request(sampling(seed), waiter, engine, TEXTS[seed % 3]))
    together = [waiter.result() for waiter in waiters]
    assert len(set(together)) > 6
    for seed in (0, 5, 11):
        alone = Waiter()
        engine.submit(request(sampling(seed), alone, engine, TEXTS[seed % 3]))
        assert alone.result() == together[seed]


def test_choices_differ_and_the_first_is_that_of_one_choice(engine_of: EngineOf) -> None:
    engine, one, three = engine_of(), Waiter(), Waiter(3)
    engine.submit(request(sampling(7), one, engine, TEXTS[1]))
    engine.submit(request(sampling(7), three, engine, TEXTS[1], choices=3))
    assert one.result() == three.result(0)
    assert len({three.result(choice) for choice in range(3)}) == 3


def test_a_response_is_cut_at_its_limit_and_reports_log_probabilities(
    engine_of: EngineOf, tiny: Policy
) -> None:
    model, tokenizer = tiny
    engine, waiter = engine_of(), Waiter()
    asked = request(sampling(1, tokens=5, temperature=0.0, top_logprobs=3), waiter, engine, TEXTS[0])
    engine.submit(asked)
    text, finish = waiter.result()
    assert finish == "length"
    reported = [each for piece in waiter.pieces for each in piece.logprobs]
    assert text == decode(tokenizer, [each.token for each in reported])
    with torch.no_grad():
        logits = model(torch.tensor([asked.prompt])).logits[0, -1]
    allowed = token_rules(tokenizer, model).allowed
    wanted = torch.log_softmax(logits.masked_fill(~allowed, float("-inf")), -1)
    assert reported[0].token == int(wanted.argmax()) == reported[0].top[0][0]
    assert reported[0].logprob == pytest.approx(float(wanted.max()), abs=1e-5)
    assert [value for _, value in reported[0].top] == pytest.approx(wanted.topk(3).values.tolist(), abs=1e-5)


def test_the_queue_is_bounded_and_a_cancelled_request_leaves_it(engine_of: EngineOf) -> None:
    engine = engine_of(max_running=1, max_waiting=2)
    pacer, waiters = Pacer(engine), [Waiter() for _ in range(4)]
    asked = [request(sampling(seed), waiter, engine, TEXTS[0]) for seed, waiter in enumerate(waiters)]
    engine.submit(asked[0])
    engine.submit(asked[1])
    with pytest.raises(QueueFull, match="1 responses are being generated and 2 wait"):
        engine.submit(asked[2])
    engine.cancel(asked[0])
    pacer.step(100)
    assert waiters[1].result()[1]
    engine.submit(asked[3])
    assert waiters[3].result()[1]
    assert waiters[0].pieces == waiters[2].pieces == []


def test_rows_wait_while_the_batch_would_have_too_many_tokens(engine_of: EngineOf) -> None:
    engine = engine_of(max_running=8, batch_tokens=150)
    pacer, waiter = Pacer(engine, tokens=90), Waiter()
    engine.submit(request(sampling(1), waiter, engine, TEXTS[0]))
    pacer.step(3)
    time.sleep(0.05)
    assert engine.load == (1, 1)
    pacer.step(100)
    assert waiter.result()[1]


def test_closing_ends_what_runs_in_time_and_tells_the_rest(engine_of: EngineOf) -> None:
    engine, waiter, late = engine_of(max_running=1), Waiter(), Waiter()
    pacer = Pacer(engine)
    engine.submit(request(sampling(1), waiter, engine, TEXTS[0]))
    closing = threading.Thread(target=lambda: engine.close(patience=20))
    closing.start()
    while not engine._is_closing:
        time.sleep(0.001)
    with pytest.raises(NotServing):
        engine.submit(request(sampling(2), late, engine, TEXTS[0]))
    pacer.step(100)
    closing.join()
    assert waiter.result()[1] in ("stop", "length")

    engine, waiter = engine_of(max_running=1), Waiter()
    pacer = Pacer(engine)
    engine.submit(request(sampling(1), waiter, engine, TEXTS[0]))
    closing = threading.Thread(target=engine.close)
    closing.start()
    waiter.result()
    assert isinstance(waiter.pieces[-1].error, NotServing)
    pacer.step(100)
    closing.join()


def test_a_model_that_fails_fails_its_requests_and_serves_the_next(engine_of: EngineOf, tiny: Policy) -> None:
    engine, waiter, sound = engine_of(), Waiter(), Waiter()
    head: Any = tiny[0].get_output_embeddings()
    weight = head.weight
    head.weight = torch.nn.Parameter(torch.full_like(weight, float("nan")))
    engine.submit(request(sampling(1), waiter, engine, TEXTS[0]))
    waiter.result()
    head.weight = weight
    assert waiter.pieces[-1].error is not None
    engine.submit(request(sampling(1), sound, engine, TEXTS[0]))
    assert sound.result()[1]


def test_a_sink_whose_event_loop_has_ended_does_not_stop_the_others(engine_of: EngineOf) -> None:
    engine, waiter = engine_of(), Waiter()

    def post(call: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    gone = request(sampling(1), waiter, engine, TEXTS[0])
    gone.post = post
    engine.submit(gone)
    sound = Waiter()
    engine.submit(request(sampling(2), sound, engine, TEXTS[1]))
    assert sound.result()[1]
    assert gone.is_cancelled
    assert waiter.pieces == []
