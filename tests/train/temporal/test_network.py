"""The temporal encoder: what it looks at, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_sequences import SHAPE, sequences

from mien.bundle import find_bundle
from mien_train.temporal.network import TemporalNet, TemporalShape, count_macs
from mien_train.temporal.sequences import Sequences
from mien_train.temporal.train import encode


def net() -> TemporalNet:
    torch.manual_seed(0)
    made = TemporalNet(SHAPE)
    with torch.no_grad():  # an untrained one corrects nothing
        made.correct.weight.normal_()
        made.ask.weight.normal_()
    return made.eval()


def test_the_encoder_looks_back_only_unless_it_is_centered() -> None:
    made = sequences(2)
    other = replace(made, embedding=made.embedding.copy(), expression=np.roll(made.expression, 1, axis=-1))
    other.expression[:, :20] = made.expression[:, :20]
    for centered, same in ((False, True), (True, False)):
        one, two = (encode(net(), part, centered=centered)[0] for part in (made, other))
        assert np.allclose(one[:, :20], two[:, :20], atol=1e-6) == same
        assert not np.allclose(one[:, 20:], two[:, 20:], atol=1e-3)


def test_times_are_relative_and_in_seconds() -> None:
    made = sequences(2)
    later = replace(made, times=made.times + 1000)
    slower = replace(made, times=made.times * 3)
    one, two, three = (encode(net(), part)[0] for part in (made, later, slower))
    assert one == pytest.approx(two, abs=1e-4)
    assert np.abs(one - three).max() > 0.01


def test_frames_beyond_the_span_do_not_count() -> None:
    made = sequences(1)
    made.times[0, 20:] += 2 * SHAPE.span
    alone = Sequences(**{name: values[:, 20:] for name, values in vars(made).items()})
    assert encode(net(), made)[0][:, 20:] == pytest.approx(encode(net(), alone)[0], abs=1e-5)


def test_an_untrained_encoder_is_a_filter_of_what_the_student_says() -> None:
    made, plain = sequences(1), TemporalNet(SHAPE).eval()
    expression, affect = encode(plain, made)
    ages = made.times[0, 20] - made.times[0, 13:21]
    share = np.exp(-5 * ages) / np.exp(-5 * ages).sum()
    logs = share @ np.log(made.expression[0, 13:21].clip(1e-4))
    assert affect[0, 20] == pytest.approx(share @ made.affect[0, 13:21], abs=1e-4)
    assert expression[0, 20] == pytest.approx(np.exp(logs) / np.exp(logs).sum(), abs=1e-4)


def test_its_cost_is_a_few_hundredths_of_the_students() -> None:
    card = find_bundle().card
    assert count_macs(TemporalShape(card.embedding)) < 0.03 * card.macs
    assert count_macs(SHAPE) < count_macs(replace(SHAPE, window=16)) < count_macs(replace(SHAPE, window=16, width=32))
