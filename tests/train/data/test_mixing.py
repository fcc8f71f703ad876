"""Tests of mixup."""

import torch

from mien_train.data.batches import Sample
from mien_train.data.mixing import mixed


def samples(count: int = 8) -> Sample:
    draw = torch.Generator().manual_seed(0)
    return Sample(
        torch.randint(0, 256, (count, 4, 4, 3), generator=draw).to(torch.uint8),
        torch.randn(count, 8, generator=draw).softmax(1),
        torch.randn(count, 2, generator=draw),
        torch.randn(count, 8, generator=draw) * 3,
        torch.randn(count, 2, generator=draw),
        torch.zeros(count, 0),
    )


def shares(before: Sample, after: Sample) -> torch.Tensor:
    """The share of each image's own valence in what it became."""
    own, other = before.affect[:, 0], before.affect.flip(0)[:, 0]
    return (after.affect[:, 0] - other) / (own - other)


def test_a_share_of_zero_leaves_the_batch_as_it_is():
    batch = samples()
    assert mixed(batch, 0.0, 2.0) is batch


def test_everything_of_an_image_is_blended_by_one_share():
    torch.manual_seed(1)
    batch = samples()
    after = mixed(batch, 1.0, 2.0)
    own = shares(batch, after)
    assert (own >= 0.5).all()
    assert (own <= 1).all()
    assert (own < 0.99).any()
    row = own[:, None]
    torch.testing.assert_close(after.target, row * batch.target + (1 - row) * batch.target.flip(0))
    softened = (batch.taught_logits / 2).softmax(1)
    torch.testing.assert_close((after.taught_logits / 2).softmax(1), row * softened + (1 - row) * softened.flip(0))
    pixels = row[:, None, None] * batch.crop + (1 - row[:, None, None]) * batch.crop.flip(0)
    assert (after.crop - pixels).abs().max() <= 0.51


def test_only_the_asked_share_is_blended():
    torch.manual_seed(2)
    batch = samples(2000)
    changed = (mixed(batch, 0.3, 2.0).target != batch.target).any(1)
    assert 0.25 < changed.float().mean() < 0.35


def test_what_one_face_lacks_the_blend_lacks_and_others_keep():
    torch.manual_seed(3)
    batch = samples()
    batch.target[0] = float("nan")  # no label
    batch.taught_logits[1, 7] = float("nan")  # a class that the teacher does not know
    after = mixed(batch, 1.0, 2.0)
    assert after.target[[0, 7]].isnan().all()
    assert not after.target[1:7].isnan().any()
    assert after.taught_logits[[1, 6], 7].isnan().all()
    assert not after.taught_logits[:, :7].isnan().any()
    torch.manual_seed(3)
    rare = mixed(batch, 1e-9, 2.0)  # nobody is blended
    assert not rare.target[7].isnan().any()
    assert torch.equal(rare.crop, batch.crop)
    torch.testing.assert_close((rare.taught_logits[3] / 2).softmax(0), (batch.taught_logits[3] / 2).softmax(0))
