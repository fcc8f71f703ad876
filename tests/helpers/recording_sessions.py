"""Sessions of ONNX Runtime on a machine that has any provider: they record what they are opened with, and compute on
the CPU."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

import mien.engines.ort_session
from mien.engines.providers import PROVIDERS
from mien.types import Image

CPU = "CPUExecutionProvider"


class Sessions:
    """The machine. ``opened``: options, providers and session of each that was opened, in turn.

    ``active``: the provider that is active in place of the one asked for. ``placed``: operators by provider; None for
    an ONNX Runtime that does not tell.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        ort = mien.engines.ort_session.ort
        real = ort.InferenceSession
        machine = self
        self.opened: list[Any] = []
        self.active = ""
        self.placed: dict[str, int] | None = None

        class Session:
            def __init__(self, path: str, options: Any = None, providers: Any = None):
                machine.opened.append((options, providers, self))
                self._asked = providers[0] if isinstance(providers[0], str) else providers[0][0]
                self._session = real(path, options, providers=[CPU])
                self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs
                self.batches: list[int] = []
                self.busy = threading.Lock()
                self.met = False

            def get_providers(self) -> list[str]:
                return [machine.active or self._asked, CPU]

            def get_provider_graph_assignment_info(self) -> list[Any]:
                if machine.placed is None:
                    raise AttributeError("an ONNX Runtime before 1.24")
                return [
                    SimpleNamespace(ep_name=name, get_nodes=lambda: ["a node"])
                    for name, count in machine.placed.items()
                    for _ in range(count)
                ]

            def run(self, names: list[str], feeds: dict[str, Image]) -> Any:
                alone = self.busy.acquire(blocking=False)
                self.met |= not alone
                try:
                    self.batches += [len(batch) for batch in feeds.values()]
                    return self._session.run(names, feeds)
                finally:
                    if alone:
                        self.busy.release()

        monkeypatch.setattr(ort, "InferenceSession", Session)
        monkeypatch.setattr(ort, "get_available_providers", lambda: [each.name for each in PROVIDERS.values()])
