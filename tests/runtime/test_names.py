"""Names of files that are no UTF-8, or more than the locale knows: read and written, or refused in words."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from mien.engines import has_library
from mien.errors import InputError, OutputError
from mien.paths import check_plain, for_native, is_plain, readable
from mien.sinks.media import SaveVideo
from mien.sources.factory import open_source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]
ODD = os.fsdecode(b"caf\xe9")
"""Latin-1, as of old disks and archives. OpenCV ends the process where it is given such a name."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")


@pytest.fixture
def odd(tmp_path: Path, portrait: Image, make_clip: MakeClip) -> Path:
    """A folder of such a name with a picture, a picture and a video without suffixes, and videos."""
    folder = tmp_path / ODD
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), portrait)
    for name in (f"{ODD}.png", ODD):
        shutil.copy(tmp_path / "a.png", folder / name)
    for suffix in (".mp4", ".avi"):
        shutil.copy(make_clip(tmp_path / f"a{suffix}", frames=3), folder / f"{ODD}{suffix}")
    return folder


def fer_run(bundle: Path, *args: object, c_locale: bool = False) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from mien.cli import main; main()", *map(str, args)]
    environment = dict(os.environ)
    if c_locale:
        environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command += ["--model", str(bundle), "--threads", "1"]
    return subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize("c_locale", [False, True])
@pytest.mark.parametrize("name", [f"{ODD}.mp4", f"{ODD}.avi", f"{ODD}.png", ODD])
def test_files_are_read_and_told(odd: Path, tiny_bundle: Path, tmp_path: Path, name: str, c_locale: bool) -> None:
    out = [tmp_path / "o.csv", tmp_path / "s.json"]
    args = (odd / name, "--json", "-", "--csv", out[0], "--summary", out[1])
    done = fer_run(tiny_bundle, *args, c_locale=c_locale)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    shown = readable(odd / name)
    assert shown.endswith(name.replace(ODD, "caf\\xe9"))
    assert {json.loads(line)["source"] for line in done.stdout.splitlines()} == {shown}
    with out[0].open(newline="", encoding="utf-8") as file:
        assert {row["source"] for row in csv.DictReader(file)} == {shown}
    assert json.loads(out[1].read_text(encoding="utf-8"))["source"] == shown


@pytest.mark.parametrize("c_locale", [False, True])
def test_a_whole_folder_into_another(odd: Path, tiny_bundle: Path, tmp_path: Path, c_locale: bool) -> None:
    out = tmp_path / os.fsdecode(b"out\xe9")
    args = (f"{odd}/*", "--save", f"{out}/", "--summary", f"{out}/", "--csv", tmp_path / f"{ODD}.csv")
    done = fer_run(tiny_bundle, *args, c_locale=c_locale)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\\xe9.csv" in done.stdout
    videos = [path for path in out.iterdir() if path.suffix in (".mp4", ".avi")]
    assert len(videos) == 2
    for path in videos:
        with open_source(path) as source:
            assert len(list(source)) == 3


def test_utf8_names_in_a_locale_that_knows_ascii_alone(
    tiny_bundle: Path, tmp_path: Path, make_clip: MakeClip, portrait: Image
) -> None:
    folder = tmp_path / "größe"
    folder.mkdir()
    cv2.imwrite(str(folder / "ü.png"), portrait)
    make_clip(folder / "ü.mp4", frames=3)
    out = folder / "ö.jsonl"
    done = fer_run(tiny_bundle, folder, "--save", f"{tmp_path}/é/", "--json", out, c_locale=True)
    assert (done.returncode, done.stderr) == (0, b"")
    names = {Path(json.loads(line)["source"]).name for line in out.read_text().splitlines()}
    assert names == {"ü.png", "ü.mp4"}
    assert {path.name for path in (tmp_path / "é").iterdir()} == names
    done = fer_run(tiny_bundle, folder / "ü.png", c_locale=True)
    assert b"gr\\xf6\\xdfe/\\xfc.png  512x512  1 face" in done.stdout
    done = fer_run(tiny_bundle, folder / "nä.png", c_locale=True)
    assert done.returncode == 2
    assert done.stderr.startswith(b"fer-run: error: there is no file or folder")


@pytest.mark.parametrize("spec", [f"http://127.0.0.1:9/{ODD}", f"videotestsrc ! {ODD} ! appsink", f"/dev/{ODD}", ODD])
def test_other_names_are_refused_in_words(spec: str, tiny_bundle: Path) -> None:
    done = fer_run(tiny_bundle, spec)
    assert done.returncode == 2
    assert done.stderr.startswith(b"fer-run: error: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_bundle_in_such_a_folder(odd: Path, tiny_bundle: Path, tmp_path: Path, device: str) -> None:
    if not has_library(device):
        pytest.skip(f"the library of the device {device} is not installed")
    shutil.copytree(tiny_bundle, odd / "bundle")
    done = fer_run(odd / "bundle", tmp_path / "a.png", "--device", device)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_videos_are_written_under_such_names(tmp_path: Path, portrait: Image, suffix: str) -> None:
    path = tmp_path / f"{ODD}{suffix}"
    sink = SaveVideo(path, fps=25.0, live=False)
    for i in range(5):
        sink.write(Frame(portrait, i / 25, i, "a"))
    sink.close()
    with open_source(path) as source:
        assert len(list(source)) == 5
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_what_opencv_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with for_native(tmp_path / "größe.mp4") as name:
        assert name == str(tmp_path / "größe.mp4")
    (tmp_path / f"{ODD}.mp4").touch()
    with for_native(tmp_path / f"{ODD}.mp4") as name:
        assert name.isascii()
        assert name.endswith(".mp4")
        assert os.path.samefile(name, tmp_path / f"{ODD}.mp4")
    assert not os.path.lexists(name)
    (tmp_path / ODD).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ODD))
    with pytest.raises(OutputError, match="TMPDIR"), for_native(tmp_path / ODD):
        pass
    with pytest.raises(InputError, match="not UTF-8"):
        check_plain(ODD, "the address")
    assert not is_plain(ODD)
    assert (readable(ODD), readable("größe"), readable("\ud800")) == ("caf\\xe9", "größe", "\\ud800")
