"""Ids that stay: through motion, gaps, crossings, and detections that come and go."""

from collections.abc import Callable

import numpy as np
import pytest

from mien.tracking.tracker import Tracker
from mien.types import Detection

STEP = 1 / 25
Path = Callable[[float], "tuple[float, float, float] | None"]
"""Time in s -> middle x, y and side of a face in px, or None while it is hidden."""


def at(x: float, y: float, side: float = 100.0) -> Detection:
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    return Detection(box, None, 0.9)


def follow(paths: dict[str, Path], seconds: float, *, noise: float = 1.0, tracker: Tracker | None = None) -> dict:
    """The ids that each path was given over time, with detector noise in px and detections in random order."""
    tracker, random = tracker or Tracker(), np.random.default_rng(0)
    ids: dict[str, list[int]] = {name: [] for name in paths}
    for i in range(round(seconds / STEP)):
        places = {name: path(i * STEP) for name, path in paths.items()}
        names = [name for name, place in places.items() if place is not None]
        random.shuffle(names)
        detections = [at(*(np.array(places[name]) + random.normal(0, noise, 3))) for name in names]
        for name, track in zip(names, tracker.update(detections, STEP), strict=True):
            ids[name].append(track.id)
    return ids


def settled(ids: dict[str, list[int]]) -> bool:
    """Whether each path kept one id, and each its own."""
    sets = [set(values) for values in ids.values()]
    return all(len(values) == 1 for values in sets) and len(set.union(*sets)) == len(sets)


def hidden(path: Path, start: float, end: float) -> Path:
    return lambda t: None if start <= t < end else path(t)


def test_four_faces_that_stand_keep_their_ids() -> None:
    paths = {f"{x},{y}": (lambda t, x=x, y=y: (x, y, 100)) for x in (160, 480) for y in (90, 270)}
    assert settled(follow(paths, 4, noise=3))


@pytest.mark.parametrize("gap", [0.1, 0.5, 0.9])
def test_a_face_that_was_hidden_for_a_while_keeps_its_id(gap: float) -> None:
    paths: dict[str, Path] = {
        "hidden": hidden(lambda t: (160, 90, 100), 1, 1 + gap),
        "other": lambda t: (480, 90, 100),
    }
    assert settled(follow(paths, 3))


def test_after_max_gap_it_is_another_one() -> None:
    ids = follow({"hidden": hidden(lambda t: (160, 90, 100), 1, 2.5)}, 4)
    assert len(set(ids["hidden"])) == 2


def test_a_moving_face_that_was_hidden_is_met_again_where_it_went() -> None:
    assert settled(follow({"walker": hidden(lambda t: (100 + 150 * t, 200, 100), 1, 1.4)}, 3))


@pytest.mark.parametrize("speed", [80, 200, 400])
def test_two_faces_that_cross_keep_their_ids(speed: float) -> None:
    """The one behind is not detected while its middle is less than 0.6 sides from the other's."""
    front: Path = lambda t: (100 + speed * t, 200, 100)  # noqa: E731
    back: Path = lambda t: (700 - speed * t, 210, 95)  # noqa: E731
    behind: Path = lambda t: None if abs(front(t)[0] - back(t)[0]) < 60 else back(t)  # noqa: E731
    assert settled(follow({"front": front, "back": behind}, 600 / speed))


def test_two_faces_that_meet_and_turn_back_keep_their_ids() -> None:
    front: Path = lambda t: (300 - 100 * abs(t - 2), 200, 100)  # noqa: E731
    back: Path = lambda t: (340 + 100 * abs(t - 2), 210, 95)  # noqa: E731
    behind: Path = lambda t: None if abs(front(t)[0] - back(t)[0]) < 60 else back(t)  # noqa: E731
    assert settled(follow({"front": front, "back": behind}, 4))


def test_a_fast_head_and_one_that_comes_nearer_keep_their_ids() -> None:
    paths: dict[str, Path] = {
        "shaking": lambda t: (200 + 60 * np.sin(2 * np.pi * 2 * t), 200, 100),
        "nearing": lambda t: (600, 200, 60 * 1.6**t),
    }
    assert settled(follow(paths, 3))


def test_every_third_detection_missing_changes_nothing() -> None:
    count = iter(range(10**6))
    assert settled(follow({"blinking": lambda t: None if next(count) % 3 == 0 else (200 + 40 * t, 90, 80)}, 4))


def test_a_face_elsewhere_is_a_new_one_and_ids_are_never_given_twice() -> None:
    tracker, seen = Tracker(max_gap=0.2), []
    for i in range(20):
        place = at(100 + 400 * (i // 5 % 2), 100)
        seen += [track.id for track in tracker.update([place], 0.1)]
    assert seen == sorted(seen)
    assert len(set(seen)) == 4


def test_many_faces_that_come_and_go_leave_nothing_behind() -> None:
    tracker, random = Tracker(), np.random.default_rng(2)
    for _ in range(2000):
        faces = [at(*random.uniform(0, 4000, 2)) for _ in range(random.integers(0, 6))]
        tracks = tracker.update(faces, STEP)
        assert len({track.id for track in tracks}) == len(faces)
    for _ in range(30):
        tracker.update([], STEP)
    assert tracker.tracks == []


@pytest.mark.parametrize(("step", "max_gap"), [(0.3, 1.0), (0.9, 1.0), (5.0, 12.5)])
def test_a_slow_source_keeps_its_ids(step: float, max_gap: float) -> None:
    """As a camera in dim light, or one whose pictures are fetched: no frame was missed in between."""
    tracker = Tracker(max_gap)
    ids = [[track.id for track in tracker.update([at(100 + i, 100), at(400, 100)], step)] for i in range(6)]
    assert ids == [[1, 2]] * 6
