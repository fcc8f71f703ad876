"""What fer-train says where it cannot go on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mien_train.cli import main


def refusal(arguments: str, known: Mapping[str, object], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of ``fer-train ARGUMENTS`` in ``folder``, which ends with code 2. ``known``: what words of the
    arguments stand for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["fer-train", *(str(known.get(part, part)) for part in arguments.split())])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("fer-train: ")
    return last
