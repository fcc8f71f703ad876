"""Options, headings and turns that the benchmarks share."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks import common


def test_the_folder_of_data_is_asked_for_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIEN_DATA", raising=False)
    for required in (True, False):
        parser = common.command_parser("x", "")
        common.add_data(parser, required=required)
        if required:
            with pytest.raises(SystemExit):
                parser.parse_args([])
        else:
            assert parser.parse_args([]).data is None
        assert parser.parse_args(["--data", "here"]).data == Path("here")
    monkeypatch.setenv("MIEN_DATA", "there")
    parser = common.command_parser("x", "")
    common.add_data(parser)
    assert parser.parse_args([]).data == Path("there")


def test_a_report_begins_with_how_it_was_made(tmp_path: Path) -> None:
    head = common.heading("python -m benchmarks.x", "onnxruntime", "no-such-package")
    assert list(head) == ["command", "date", "machine", "versions"]
    assert {"python", "opencv", "mien", "numpy", "onnxruntime"} == set(head["versions"])
    common.write_report(tmp_path / "x.json", head)
    assert json.loads((tmp_path / "x.json").read_text()) == head


@pytest.mark.parametrize(("rotate", "order"), [(False, "abcabcabc"), (True, "abcbcacab")])
def test_work_is_timed_in_turn(rotate: bool, order: str) -> None:
    calls: list[str] = []
    taken = common.in_turn({name: partial(calls.append, name) for name in "abc"}, 2, rotate=rotate)
    assert "".join(calls) == order
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 2, "b": 2, "c": 2}
