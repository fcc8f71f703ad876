"""The networks of the comparison cost what their papers say, and ours what its card says."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed import macs, peers
from mien.bundle import find_bundle

PUBLISHED = {
    "emonet@256": (16.9, 13.96),
    "resnet50@224": (4.09, 25.6 - 2.05 + 0.016),
    "efficientformer_l3@224": (3.9, 31.3 - 2 * 0.513 + 2 * 0.004),
    "efficientnet_b2@260": (1.0, 9.1 - 1.41 + 0.011),
    "efficientnet_b0@224": (0.39, 5.29 - 1.281 + 0.010),
    "mobilenetv2_100@224": (0.30, 3.5 - 1.281 + 0.010),
    "mobilefacenet@112": (0.221, 0.99),
    "mini_xception@64": (None, 0.056951),
}
"""GMAC and millions of parameters, of which a thousand ImageNet classes less, and eight of ours more."""


@pytest.fixture(scope="module")
def costs() -> dict[str, object]:
    return {cost.network: cost for cost in macs.all_costs()}


def test_every_peer_costs_what_is_published(costs) -> None:
    for name, (gmac, parameters) in PUBLISHED.items():
        if gmac is not None:
            assert costs[name].gmac == pytest.approx(gmac, rel=0.025), name
        assert costs[name].million_parameters == pytest.approx(parameters, rel=0.02), name
    assert {peer.name for peer in peers.PEERS} == set(PUBLISHED)


def test_mini_xception_has_the_parameters_that_its_authors_print() -> None:
    network = peers.MiniXception()
    trained = sum(p.numel() for p in network.parameters())
    kept = sum(b.numel() for name, b in network.named_buffers() if not name.endswith("num_batches_tracked"))
    assert (trained, trained + kept) == (56951, 58423)


def test_ours_costs_what_the_packaged_card_says(costs) -> None:
    card = find_bundle("default").card
    first = next(iter(costs.values()))
    assert first.network == f"mien-s@{card.crop.size}"
    assert first.over_ours == 1
    assert first.gmac == pytest.approx(card.macs / 1e9, abs=1e-4)


def test_settled_networks_give_ordinary_numbers_the_same_each_time() -> None:
    (peer,) = [peer for peer in peers.PEERS if peer.network == "mini_xception"]
    state = torch.get_rng_state()
    once, again = peers.settled(peer), peers.settled(peer)
    assert torch.equal(state, torch.get_rng_state())
    first, second = once(peer.example(2)), again(peer.example(2))
    assert torch.equal(first, second)
    assert not once.training
    norm = next(m for m in once.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert norm.running_mean.abs().max() > 0  # fitted, not as it was born
    assert norm.running_var.min() > 1e-12


def test_plot_is_drawn(costs, tmp_path) -> None:
    macs.plot(list(costs.values()), tmp_path / "macs.png")
    assert (tmp_path / "macs.png").stat().st_size > 10_000
