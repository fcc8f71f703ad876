"""Standard streams that are closed, full, of another encoding, or whose reader leaves: words, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from mien.types import Image

MakeClip = Callable[..., Path]

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="shells and devices of Linux")


@pytest.fixture
def picture(tmp_path: Path, portrait: Image) -> Path:
    cv2.imwrite(str(tmp_path / "größe.png"), portrait)
    return tmp_path / "größe.png"


def shell(bundle: Path, args: object, rest: str, program: str = "run", **environment: str) -> tuple[int, str, str]:
    """Run a program by a shell, which redirects as ``rest`` says. Its exit code, output and errors."""
    code = f'"{sys.executable}" -c "from mien.cli.programs import fer_{program}; fer_{program}()"'
    line = f"{code} {args} --model '{bundle}' {rest}"
    command = ["bash", "-o", "pipefail", "-c", line]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment}, timeout=90, check=False)
    err = done.stderr.decode("utf-8", "backslashreplace")
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace"), err


@pytest.mark.parametrize("rest", [">/dev/full", ">&-"])
@pytest.mark.parametrize("extra", ["", "--json -", "--csv -"])
def test_stdout_that_takes_nothing_is_1(tiny_bundle: Path, picture: Path, rest: str, extra: str) -> None:
    code, _, err = shell(tiny_bundle, f"'{picture}' {extra}", rest)
    assert code == 1
    assert err.startswith("fer-run: error: cannot write ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("rest", [">/dev/full", ">&-"])
def test_stdout_does_not_matter_where_nothing_is_printed(tiny_bundle: Path, picture: Path, rest: str) -> None:
    out = picture.parent / "o.jsonl"
    assert shell(tiny_bundle, f"'{picture}' --quiet --json '{out}'", rest) == (0, "", "")
    assert out.read_text().count("\n") == 1


@pytest.mark.parametrize("rest", ["2>/dev/full", "2>&-", "0<&- 2>&-", "0<&-"])
def test_what_cannot_be_told_on_stderr_is_no_failure(
    tiny_bundle: Path, picture: Path, make_clip: MakeClip, rest: str
) -> None:
    code, out, _ = shell(tiny_bundle, f"'{picture}'", rest)
    assert (code, "1 face" in out) == (0, True)
    (picture.parent / "bad.jpg").write_text("bad")
    assert shell(tiny_bundle, f"'{picture.parent}/*' --json -", rest)[0] == 0
    assert shell(tiny_bundle, f"'{picture}.none'", rest)[0] == 2


def test_all_three_closed(tiny_bundle: Path, picture: Path) -> None:
    out = picture.parent / "o.csv"
    assert shell(tiny_bundle, f"'{picture}' --quiet --csv '{out}'", "0<&- 1>&- 2>&-") == (0, "", "")
    assert out.read_text().count("\n") == 2
    assert out.read_text().startswith("source,")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_stdout_of_another_encoding(tiny_bundle: Path, picture: Path, encoding: str) -> None:
    code, _, err = shell(tiny_bundle, f"'{picture}'", "", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("args", ["", "--json -", "--csv -"])
def test_a_reader_that_leaves(tiny_bundle: Path, picture: Path, args: str) -> None:
    code, out, err = shell(tiny_bundle, f"{args} {' '.join([str(picture)] * 30)}", "| head -n 1")
    assert (code, out.count("\n"), err) == (0, 1, "")
    code, _, _ = shell(tiny_bundle, f"{args} {picture}.none", "2>&1 | true")
    assert code == 2


@pytest.mark.parametrize("program", ["doctor", "enroll"])
@pytest.mark.parametrize("rest", [">/dev/full", ">&-"])
def test_other_programs(tiny_bundle: Path, tmp_path: Path, program: str, rest: str) -> None:
    code, _, err = shell(
        tiny_bundle, f"--list --personal '{tmp_path}/p.npz'" if program == "enroll" else "", rest, program
    )
    assert code in (1, 2)
    assert f"fer-{program}: error: " in err
    assert err.count("\n") == 1


def test_what_steers_a_terminal_is_written_as_escapes(tiny_bundle: Path, picture: Path) -> None:
    odd = picture.with_name("a\x1b[31m.png")
    picture.rename(odd)
    code, out, _ = shell(tiny_bundle, f"'{odd}'", "")
    assert (code, "\x1b" in out, r"a\x1b[31m.png" in out) == (0, False, True)
    code, _, err = shell(tiny_bundle, f"'{odd}x'", "")
    assert (code, "\x1b" in err) == (2, False)


def test_closed_streams_and_devices_that_are_no_cameras_are_named_as_such(tiny_bundle: Path, picture: Path) -> None:
    assert "stdout, which is closed" in shell(tiny_bundle, f"'{picture}'", ">&-")[2]
    code, _, err = shell(tiny_bundle, "-", f"0>'{picture.parent / 'x'}'")
    assert code == 2
    assert "cannot read standard input" in err
    code, _, err = shell(tiny_bundle, "/dev/null", "")
    assert (code, err) == (
        2,
        "fer-run: error: /dev/null is not a camera; cameras are /dev/video0 and so on, or links to these\n",
    )


def test_several_things_to_read_exclude_each_other(tiny_bundle: Path, picture: Path) -> None:
    code, _, err = shell(tiny_bundle, f"'{picture}' --camera 0", "")
    assert code == 2
    assert "give only one of these kinds" in err
