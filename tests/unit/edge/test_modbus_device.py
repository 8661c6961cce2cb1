from __future__ import annotations

from random import Random

from edge.modbus.source import AWAY_CEILING_S, Device


def test_a_silent_device_is_left_alone_for_a_growing_and_jittered_while_up_to_a_bound() -> None:
    rng, device, waits = Random(3), Device(), list[float]()
    for n in range(12):
        device.kept_silent(100.0 * n, rng)
        waits.append(device.not_before_s - 100.0 * n)
    assert all(0.25 <= wait <= AWAY_CEILING_S for wait in waits)
    assert all(2.0**n / 4 <= wait <= 2.0**n for n, wait in enumerate(waits[:6]))
    assert len(set(waits)) == len(waits)


def test_one_answer_ends_the_growing() -> None:
    rng, device = Random(3), Device()
    for _ in range(8):
        device.kept_silent(0.0, rng)
    device.answered()
    assert (device.failures, device.not_before_s) == (0, 0.0)
    device.kept_silent(0.0, rng)
    assert device.not_before_s <= 1.0
