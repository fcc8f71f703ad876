"""A warning where bfloat16 would be slow."""

from __future__ import annotations

import sys

import torch


def warn_of_emulation(precision: str, device: str = "cpu") -> bool:
    """Warn on stderr that bfloat16 will be slow here. -> whether it will.

    Processors without instructions for it emulate it: at a fifteenth of the speed of float32, on one with AVX2 only.
    """
    slow = precision == "bf16" and device == "cpu" and not _knows_bfloat16()
    if slow:
        print(
            "this processor does not know bfloat16 and emulates it, which is many times slower: leave bf16 out "
            "(--precision no, or learn.precision=no)",
            file=sys.stderr,
        )
    return slow


def _knows_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
