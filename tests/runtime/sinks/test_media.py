"""Where pictures and videos are saved, and a window where there can be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from tiny_frame import frame

from mien.errors import OutputError
from mien.packages import OPENCV, installed
from mien.sinks.media import SaveVideo, Window, save_to
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.types import Frame, Image

MakeClip = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, portrait: Image) -> Source:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.jpg", "c.ppm"):
        cv2.imwrite(str(tmp_path / "pictures" / name), portrait[:90, :91])
    return open_source(tmp_path / "pictures")


def test_save_fits_the_source(tmp_path: Path, picture: Source, folder: Source, make_clip: MakeClip) -> None:
    video = open_source(make_clip(tmp_path / "a.mp4"))
    (tmp_path / "file").write_text("x")
    for source, path, message in [
        (picture, "out.mp4", "cannot save a picture"),
        (picture, "out", "cannot save a picture"),
        (picture, "", "would be overwritten"),
        (video, "out.png", "cannot save a video"),
        (video, "a.mp4", "would be overwritten"),
        (folder, "out.jpg", "name a folder"),
        (folder, "file", "name a folder"),
        (folder, "missing/out", "does not exist"),
        (folder, "pictures", "would be overwritten"),
    ]:
        with pytest.raises(OutputError, match=message):
            save_to(str(tmp_path / path), source)
    video.close()


def test_pictures_keep_their_names_in_a_folder(tmp_path: Path, folder: Source) -> None:
    sink = save_to(str(tmp_path / "out"), folder)
    for item in folder:
        sink.write(item)
    sink.write(Frame(frame().image, 0.0, 9, "elsewhere/a.png"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-9.png", "a.png", "b.jpg", "c.png"]


def test_one_picture_into_a_folder(tmp_path: Path, picture: Source) -> None:
    save_to(f"{tmp_path}/new/", picture).write(next(iter(picture)))
    assert (tmp_path / "new" / "portrait.png").stat().st_size > 0


@pytest.mark.skipif(bool(cv2.currentUIFramework()), reason="this OpenCV has windows")
def test_a_window_without_gui_names_the_remedy() -> None:
    names = " ".join(found.split()[0] for found in installed(OPENCV))
    with pytest.raises(OutputError, match=f"run: pip uninstall -y {names} && pip install opencv-python "):
        Window("mien", wait=False)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        SaveVideo(tmp_path / "missing" / "out.mp4", fps=25.0, live=False).write(frame())
    with pytest.raises(OutputError, match="cannot write"):
        SaveVideo(tmp_path / "missing" / "out.avi", fps=25.0, live=False).write(frame())
