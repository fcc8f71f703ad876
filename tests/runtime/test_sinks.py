from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.annotated import Window, save_to
from mien.errors import OutputError
from mien.faces import Face, Frame, Image
from mien.sinks import Csv, JsonLines, check_output
from mien.sources import Source, open_source

MakeClip = Callable[..., Path]
MakeFace = Callable[..., Face]

LABELS = ("neutral", "happiness")


def frame(index: int = 0, size: tuple[int, int] = (64, 48), name: str = "a.mp4") -> Frame:
    return Frame(np.full((size[1], size[0], 3), 40, dtype=np.uint8), index / 25, index, name)


@pytest.fixture
def picture(tmp_path: Path, portrait: Image) -> Source:
    cv2.imwrite(str(tmp_path / "portrait.png"), portrait)
    return open_source(tmp_path / "portrait.png")


@pytest.fixture
def folder(tmp_path: Path, portrait: Image) -> Source:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.jpg", "c.ppm"):
        cv2.imwrite(str(tmp_path / "pictures" / name), portrait[:90, :91])
    return open_source(tmp_path / "pictures")


def test_json_lines_hold_everything_and_come_at_once(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "faces.jsonl"
    sink = JsonLines(str(path))
    sink.write(frame(0), [])
    sink.write(frame(7), [make_face((1, 2, 31, 42)), make_face((5, 5, 9, 9), landmarks=False)])
    first, second = (json.loads(line) for line in path.read_text().splitlines())  # before it is closed
    sink.close()
    assert first["source"] == "a.mp4"
    assert (first["frame"], first["time"], first["face"], second["face"]) == (7, 0.28, 0, 1)
    assert first["box"] == [1, 2, 31, 42]
    assert np.shape(first["landmarks"]) == (5, 2)
    assert second["landmarks"] is None
    assert (first["expression"], first["confidence"], first["score"]) == ("happiness", 0.75, 0.93)
    assert first["probabilities"] == {"happiness": 0.75, "neutral": 0.25}
    assert (first["valence"], first["arousal"]) == (0.5, -0.25)


def test_csv_has_a_column_for_every_class(tmp_path: Path, make_face: MakeFace) -> None:
    path = tmp_path / "faces.csv"
    sink = Csv(str(path), LABELS)
    assert path.read_text().startswith("source,frame,time,face,track,x1,")  # a header even where no face comes
    sink.write(frame(3, name='odd, "name".mp4'), [make_face((1, 2, 31, 42)), make_face((5, 5, 9, 9), landmarks=False)])
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    sink.close()
    assert first["source"] == 'odd, "name".mp4'
    assert (first["x1"], first["y2"], first["p_neutral"], first["p_happiness"]) == ("1.0", "42.0", "0.25", "0.75")
    assert (float(first["nose_x"]), second["nose_x"]) == (16.0, "")
    assert None not in first


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_an_output_error(make_face: MakeFace) -> None:
    with pytest.raises(OutputError, match="/dev/full"):
        JsonLines("/dev/full").write(frame(), [make_face((1, 2, 31, 42))])


def test_outputs_that_cannot_work_are_told_before_anything_is_written(tmp_path: Path, picture: Source) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link.png").symlink_to(tmp_path / "portrait.png")
    for path, message in [
        ("missing/out.jsonl", "mkdir -p"),
        ("file/out.jsonl", "is a file, not a folder"),
        ("", "is a folder"),
        ("portrait.png", "would be overwritten"),
        ("link.png", "would be overwritten"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_output(str(tmp_path / path), picture)
    check_output(str(tmp_path / "fine.jsonl"), picture)
    check_output("-", picture)
    assert not (tmp_path / "fine.jsonl").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(tmp_path: Path, picture: Source) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_output(str(tmp_path / "locked" / "out.jsonl"), picture)


def test_save_fits_the_source(tmp_path: Path, picture: Source, folder: Source, make_clip: MakeClip) -> None:
    video = open_source(make_clip(tmp_path / "a.mp4"))
    (tmp_path / "file").write_text("x")
    for source, path, message in [
        (picture, "out.mp4", "cannot save a picture"),
        (picture, "out", "cannot save a picture"),
        (picture, "", "would overwrite them"),
        (video, "out.png", "cannot save a video"),
        (video, "a.mp4", "would be overwritten"),
        (folder, "out.jpg", "name a folder"),
        (folder, "file", "name a folder"),
        (folder, "missing/out", "does not exist"),
        (folder, "pictures", "would overwrite them"),
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


@pytest.mark.parametrize(
    ("name", "fps", "size", "saved"),
    [
        ("out.mp4", 23.976, (640, 360), (640, 360)),
        ("out.mp4", 30.0, (641, 359), (642, 360)),
        ("out.mkv", 12.5, (640, 360), (640, 360)),
        ("out.avi", 29.97, (640, 360), (640, 360)),
        ("out.avi", 29.97, (641, 359), (642, 360)),
        ("out.avi", 25.0, (641, 359), (641, 359)),
    ],
)
def test_a_video_keeps_rate_size_and_frames(
    tmp_path: Path, make_clip: MakeClip, name: str, fps: float, size: tuple[int, int], saved: tuple[int, int]
) -> None:
    with open_source(make_clip(tmp_path / "in.avi", size=size, frames=8)) as source:
        source.fps = fps
        sink = save_to(str(tmp_path / name), source)
        originals = list(source)
        for item in originals:
            sink.write(item)
        sink.close()
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert (source.size, len(frames)) == (saved, 8)
    assert source.fps == pytest.approx(fps, abs=0.01)
    last = frames[-1].image[: size[1], : size[0]].astype(int)
    assert abs(last - originals[-1].image).mean() < 6


def test_a_live_video_plays_as_fast_as_life(tmp_path: Path, picture: Source) -> None:
    picture.kind, picture.fps = "live", 25.0
    sink = save_to(str(tmp_path / "out.mp4"), picture)
    for time in (0.0, 0.2, 0.21, 1.0):
        sink.write(Frame(frame().image, time, 0, "camera"))
    sink.write(Frame(frame(size=(32, 32)).image, 1.2, 0, "camera"))  # a size that changes is fitted
    sink.close()
    with open_source(tmp_path / "out.mp4") as source:
        assert len(list(source)) == 31
        assert source.size == (64, 48)


def test_a_broken_video_is_not_passed_off_as_whole(tmp_path: Path, picture: Source) -> None:
    picture.kind = "video"
    sink = save_to(str(tmp_path / "out.mp4"), picture)
    for i in range(5):
        sink.write(frame(i))
    (tmp_path / "out.mp4").unlink()
    with pytest.raises(OutputError, match="0 of 5"):
        sink.close()


@pytest.mark.skipif(bool(cv2.currentUIFramework()), reason="this OpenCV has windows")
def test_a_window_without_gui_names_the_remedy() -> None:
    with pytest.raises(OutputError, match="pip uninstall -y opencv-python-headless && pip install opencv-python"):
        Window("mien", wait=False)
