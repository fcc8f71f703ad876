"""Long videos in segments: the frames and ids of an unbroken run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from batch_runs import Here, content, run_here, run_with

from mien.batch.folder import Folder
from mien.batch.inputs import local_input
from mien.batch.processes import Processes
from mien.batch.run import Run
from mien.batch.settings import Model
from mien.sources.video import Video
from mien.types import Image

FPS, SECONDS, SEGMENT_S = 8, 18, 6


@pytest.fixture(scope="session")
def long_clip(portrait: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people: one leaves and comes back, one comes late, and one passes twice."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (480, 160))
    people = [cv2.resize(portrait[20:260, 110:350], (110, 110)), None, None]
    people[1], people[2] = cv2.flip(people[0], 1), cv2.convertScaleAbs(people[0], alpha=0.8)
    for i in range(FPS * SECONDS):
        image = np.full((160, 480, 3), 90, np.uint8)
        time = i / FPS
        if time < 13 or time > 15:
            image[20:130, 20 + i % 7 : 130 + i % 7] = people[0]
        if time > 2:
            image[30:140, 180:290] = people[1]
        if 5 < time < 9 or 11 < time < 16:
            image[15:125, 330 + i % 5 : 440 + i % 5] = people[2]
        writer.write(image)
    writer.release()
    return path


@pytest.fixture(scope="session")
def in_segments(long_clip: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the clip in three segments."""
    folder = tmp_path_factory.mktemp("segments") / "results"
    cut = run_here(folder, replace(model, segment_s=SEGMENT_S), [long_clip])
    assert [piece.segment for piece in cut.read] == [False, True, True, True]
    return folder


@pytest.fixture(scope="session")
def unbroken(long_clip: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the clip in one."""
    folder = tmp_path_factory.mktemp("unbroken") / "results"
    run_here(folder, replace(model, segment_s=0), [long_clip])
    return folder


def test_segments_give_the_rows_and_ids_of_an_unbroken_run(in_segments: Path, unbroken: Path) -> None:
    whole, joined = (
        pq.read_table(next((folder / "faces").iterdir())).to_pandas() for folder in (unbroken, in_segments)
    )
    assert set(whole["track"]) == {1, 2, 3, 4, 5}
    assert whole[whole["time"] < SEGMENT_S].equals(joined[joined["time"] < SEGMENT_S])
    # When the whole frame is searched for new faces depends on all that was before, so one may be found a little later.
    both = whole.merge(joined, on=["source", "frame", "time", "track"])
    assert len(both) > 0.99 * max(len(whole), len(joined))
    assert (both["expression_x"] == both["expression_y"]).mean() > 0.99
    assert np.abs(both["x1_x"] - both["x1_y"]).max() < 2
    rows = [pq.read_table(folder / "index.parquet").to_pylist()[0] for folder in (unbroken, in_segments)]
    for key in ("state", "frames", "seconds", "sha256", "size"):
        assert rows[0][key] == rows[1][key], key
    assert rows[0]["frames"] == FPS * SECONDS
    assert {path.name for path in in_segments.iterdir()} == {"faces", "index.parquet", "options.json"}


def test_segments_read_by_two_workers_give_the_same_bytes(
    long_clip: Path, in_segments: Path, model: Model, tmp_path: Path
) -> None:
    short = replace(model, segment_s=SEGMENT_S)
    run_with(Processes(short, 2), tmp_path / "two", short, [long_clip])
    assert content(tmp_path / "two") == content(in_segments)


def test_segments_of_an_earlier_run_are_not_read_again(
    long_clip: Path, in_segments: Path, model: Model, tmp_path: Path
) -> None:
    short = replace(model, segment_s=SEGMENT_S)
    workers, folder = Here(short), Folder(str(tmp_path / "killed"), short.told)

    def stop(_: object) -> None:
        if len(workers.read) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(folder, short, [local_input(long_clip)]).work(workers, stop)
    folder.close()
    assert len(list((tmp_path / "killed/pieces").iterdir())) == 2
    again = run_here(tmp_path / "killed", short, [long_clip])
    assert [(piece.segment, piece.number) for piece in again.read] == [(False, 0), (True, 2)]
    assert content(tmp_path / "killed") == content(in_segments)


def test_a_video_in_which_seeking_goes_wrong_is_read_in_one(
    long_clip: Path, unbroken: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Video.seek
    monkeypatch.setattr(Video, "seek", lambda self, time: right(self, time + 3))
    cut = run_here(tmp_path / "cut", replace(model, segment_s=SEGMENT_S), [long_clip])
    assert [(piece.segment, piece.whole) for piece in cut.read][-1] == (False, True)
    assert content(tmp_path / "cut") == content(unbroken)
