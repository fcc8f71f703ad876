"""What tests of fer-bench share: the type of ``bench``, and options with which it takes a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Bench = Callable[..., tuple[int, Any]]
QUICK = ["--seconds", "0.02", "--threads", "1"]
