"""The KL controllers at numbers worked by hand."""

import pytest

from alignloop.core.kl_controller import AdaptiveKl, FixedKl


def moved(kl_per_response_nats: float, responses: int = 256) -> float:
    controller = AdaptiveKl(coef=0.1, target_kl_per_response_nats=6.0, horizon_responses=10_000)
    controller.update(kl_per_response_nats, responses)
    return controller.coef


def test_a_fixed_coefficient_does_not_change():
    controller = FixedKl(0.05)
    controller.update(1e9, 256)
    assert controller.coef == 0.05


def test_at_its_target_the_coefficient_does_not_change():
    assert moved(6.0) == 0.1


def test_a_tenth_above_target_in_nats_per_response_by_hand():
    assert moved(6.6) == pytest.approx(0.1 * (1 + 0.1 * 256 / 10_000), abs=1e-12)
    assert moved(6.6, responses=512) == pytest.approx(0.1 * (1 + 0.1 * 512 / 10_000), abs=1e-12)


@pytest.mark.parametrize(
    ("kl", "error"), [(600.0, 0.2), (7.2, 0.2), (4.8, -0.2), (0.0, -0.2), (-3.0, -0.2), (5.4, -0.1)]
)
def test_the_error_is_clipped_to_a_fifth(kl: float, error: float):
    assert moved(kl) == pytest.approx(0.1 * (1 + error * 256 / 10_000), abs=1e-12)


def test_a_kl_that_falls_as_the_coefficient_rises_is_steered_to_its_target():
    controller = AdaptiveKl(coef=0.02, target_kl_per_response_nats=6.0, horizon_responses=2_000)
    for _ in range(400):
        controller.update(0.6 / controller.coef, 256)
    assert 0.6 / controller.coef == pytest.approx(6.0, rel=0.01)
