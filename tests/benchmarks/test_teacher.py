"""The table of the teacher benchmark, by hand-worked numbers, and a policy that is served to `distill`."""

from pathlib import Path

import httpx

from benchmarks.teacher import ARMS, TEACHER, Served, serving, table


def test_differences_are_of_the_same_prompts_with_intervals_over_seeds_and_over_prompts() -> None:
    def golds(*values: list[float]) -> dict[str, list[float]]:
        return dict(zip((TEACHER, *ARMS), values, strict=True))

    results = [
        {"golds": golds([4, 4], [2, 3], [1, 2], [3, 3])},
        {"golds": golds([4, 4], [2, 6], [1, 1], [3, 4])},
    ]
    lines = table(results).splitlines()
    # differences 1, 1 and 1, 5: means 1 and 3; 12.706 x 1.4142 / √2 = 12.706; 1.96 x 2 / √4 = 1.96
    assert lines[6] == (
        "| n by the teacher less n by the environment | 2.000 | [−10.706, 14.706] | ±1.960 | 1.000 3.000 |"
    )
    assert lines[2].startswith("| the teacher itself | 4.000 |")
    assert "| one seed |" in table(results[:1])


def test_a_policy_is_served_as_an_openai_compatible_endpoint(tiny_policy: Path) -> None:
    body = {
        "model": "ours",
        "messages": [{"role": "user", "content": "Is the sea full of salt?"}],
        "temperature": 1.0,
        "max_tokens": 5,
        "seed": 3,
    }
    with serving(Served(tiny_policy, 40)) as url:
        first, again = (httpx.post(f"{url}/chat/completions", json=body).json() for _ in range(2))
    assert first == again
    [choice] = first["choices"]
    assert choice["finish_reason"] == ("length" if first["usage"]["completion_tokens"] == 5 else "stop")
    assert first["model"] == "ours"
