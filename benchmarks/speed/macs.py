"""Multiply-accumulates and parameters of our students and of the networks that others run, counted by fvcore.

    python -m benchmarks.speed.macs

Batch norms do not count: an exported graph has folded them away where it can. Neither number depends on the values of
weights, so the networks have random ones. Writes ``benchmarks/results/macs.json`` and a plot.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from benchmarks.common import add_out, command_parser, heading, write_report
from benchmarks.speed.peers import PEERS
from mien_train.models.student import Student
from mien_train.recipe import load_recipe, recipes_folder

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OURS = {"mien-s": "distill-s", "mien-m": "distill-m"}
"""Name -> the recipe that its shape comes from. The first one is packaged."""


@dataclass(frozen=True)
class Cost:
    """Of one picture. ``over_ours``: times the MACs of the packaged student."""

    network: str
    who: str
    gmac: float
    million_parameters: float
    over_ours: float


def main() -> None:
    parser = command_parser("speed.macs", __doc__)
    add_out(parser, "macs.json")
    args = parser.parse_args()
    costs = all_costs()
    print(f"{'network':24}{'GMAC':>8}{'M parameters':>14}{'MACs / ours':>13}  run by")
    for cost in costs:
        print(
            f"{cost.network:24}{cost.gmac:8.3f}{cost.million_parameters:14.3f}{cost.over_ours:13.2f}  {cost.who}",
            flush=True,
        )
    report = {
        **heading(parser.prog, "fvcore", "torch", "timm"),
        "note": "fvcore's count of one picture less batch norms; architectures with random weights",
        "networks": [asdict(cost) for cost in costs],
    }
    write_report(args.out, report)
    plot(costs, args.out.with_suffix(".png"))


def all_costs() -> list[Cost]:
    """Ours first, then the others, the largest first."""
    counted = []
    for name, recipe in OURS.items():
        made = load_recipe(recipes_folder() / f"{recipe}.toml")
        crop = torch.zeros((1, made.crop.size, made.crop.size, 3), dtype=torch.uint8)
        counted.append((f"{name}@{made.crop.size}", "this project", *count(Student(made.model), crop)))
    counted += [(peer.name, peer.who, *count(peer.build(), peer.example(1))) for peer in PEERS]
    ours = counted[0][2]
    return [
        Cost(name, who, round(macs / 1e9, 4), round(parameters / 1e6, 4), round(macs / ours, 3))
        for name, who, macs, parameters in counted
    ]


def count(network: nn.Module, example: Tensor) -> tuple[int, int]:
    """Multiply-accumulates for ``example``, without batch norms, and parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(network.eval(), example)
        counts = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return int(counts.total() - counts["batch_norm"]), sum(p.numel() for p in network.parameters())


def plot(costs: list[Cost], path: Path) -> None:
    """A bar a network, the largest on top, on a logarithmic axis; its words say parameters and the ratio to ours."""
    figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
    ordered = sorted(costs, key=lambda cost: cost.gmac)
    for at, cost in enumerate(ordered):
        axis.barh(at, cost.gmac, color="#c0392b" if cost.who == "this project" else "#34495e")
        said = f" {cost.gmac:.3g} GMAC ({cost.over_ours:.3g} ×), {cost.million_parameters:.3g} M parameters"
        axis.text(cost.gmac, at, said, va="center", fontsize=8)
    axis.set_yticks(range(len(ordered)), [cost.network for cost in ordered])
    axis.set(xscale="log", xlim=(0.004, 600), xlabel="GMAC a picture; × is over the packaged student")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
