"""The temporal encoder in training: made-up sequences, the network, its training, filters and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import face_jpeg

import mien_train.temporal.data
from mien.bundle import find_bundle
from mien.errors import InputError
from mien.tracking.smoothing import Average
from mien.types import EXPRESSIONS
from mien_train.data.batches import Faces
from mien_train.data.landmarks import decode_image
from mien_train.temporal.data import load_stills
from mien_train.temporal.evaluate import figures, gains, mean_delay
from mien_train.temporal.filters import Reading, averaged, held, raw, slid, streamed
from mien_train.temporal.network import TemporalNet, TemporalShape, count_macs
from mien_train.temporal.render import course, draw_disturbances, frame_times, render
from mien_train.temporal.scenes import Scenes, make_scenes
from mien_train.temporal.sequences import Sequences, gather, realize, weights
from mien_train.temporal.train import TemporalRecipe, encode, load_temporal, train_temporal

SHAPE = TemporalShape(embedding=6, window=8, width=16, heads=2, dropout=0.0)
COUNT = 40


def tiny_scenes(count: int = 6, seed: int = 0) -> Scenes:
    """Embeddings that are their class with noise; a student that is unsure."""
    rng = np.random.default_rng(seed)
    labels = np.stack([[0, *rng.choice(np.arange(1, 4), 2, replace=False)] for _ in range(count)])
    noisy = np.eye(6)[labels][:, :, None] + rng.normal(0, 0.8, (count, 3, COUNT, 6))
    logits = np.pad(noisy, [(0, 0)] * 3 + [(0, 2)])
    return Scenes(
        times=np.stack([frame_times(COUNT, rng) for _ in range(count)]),
        labels=labels,
        truth=np.stack([labels / 4, -labels / 4], axis=-1).astype(np.float32),
        embedding=noisy.astype(np.float16),
        expression=(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32),
        affect=(noisy[..., :2] / 4).astype(np.float32).clip(-1, 1),
        origin=np.zeros(count, np.int64),
    )


def sequences(count: int = 6, seed: int = 0) -> Sequences:
    return realize(tiny_scenes(count, seed), np.arange(count), np.random.default_rng(seed))


def net() -> TemporalNet:
    torch.manual_seed(0)
    made = TemporalNet(SHAPE)
    with torch.no_grad():  # an untrained one corrects nothing
        made.correct.weight.normal_()
        made.ask.weight.normal_()
    return made.eval()


def test_frames_come_at_their_own_rate_and_some_are_lost() -> None:
    steps = [np.diff(frame_times(200, np.random.default_rng(seed))) for seed in range(20)]
    assert min(part.min() for part in steps) > 1 / 30 * 0.89
    medians = [np.median(part) for part in steps]
    assert max(medians) > 2 * min(medians)
    assert max(part.max() / np.median(part) for part in steps) > 2
    assert min(part.max() / np.median(part) for part in steps) < 1.2


def test_a_course_is_smooth_and_of_unit_variance() -> None:
    times = np.arange(0, 60, 0.04)
    made = np.stack([course(times, np.random.default_rng(seed)) for seed in range(30)])
    assert made.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(made)).max() < 0.6


def test_disturbed_frames_change_little_from_one_to_the_next(portrait: np.ndarray) -> None:
    image = decode_image(face_jpeg(portrait, 0, 0))
    matrix = np.array([[1.0, 0, 24], [0, 1.0, 24]])
    near, far, covered = [], [], 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        times = np.arange(30) / 25
        what = draw_disturbances(times, rng)
        frames = np.stack(list(render(image, matrix, 112, what, seed))).astype(np.float32)
        assert frames.shape == (30, 112, 112, 3)
        near.append(np.abs(np.diff(frames, axis=0)).mean())
        far.append(np.abs(frames[15:] - frames[:15]).mean())
        covered += bool(np.isfinite(what.hand).any())
    assert np.mean(near) < 0.6 * np.mean(far)
    assert 1 <= covered <= 6


def test_nothing_disturbed_leaves_the_crop_as_the_runtime_cuts_it(data: Path, recipe: object) -> None:
    from mien.align import CropSpec, crop_matrix
    from mien_train.data.sets import load_with_landmarks

    item, spec = load_with_landmarks("rafdb/test", data), CropSpec(112, "landmarks", 0.9)
    still = draw_disturbances(np.arange(3) / 25, np.random.default_rng(0), strength=0.0)
    calm = replace(
        still, gain=np.ones(3), slope=np.zeros(3), blur=np.zeros(3), noise=0.0, quality=100, side=np.full(3, 112.0),
        hand=np.full((3, 4), np.nan), moves=np.zeros_like(still.moves),
    )  # fmt: skip
    box, points = item.landmarks.at(0)
    image = decode_image(item.faces.encoded(0))
    made = next(render(image, crop_matrix(spec, box, points), 112, calm, 0))
    assert np.abs(made.astype(float) - item.crop(0, spec)).mean() < 5


def test_a_way_through_stills_is_smooth_starts_anywhere_and_visits_them() -> None:
    times = np.arange(0, 8, 0.04)
    ways = [weights(times, np.random.default_rng(seed)) for seed in range(40)]
    for share in ways:
        assert share.sum(1) == pytest.approx(1, abs=1e-5)
        assert share.min() >= -1e-6
        assert np.abs(np.diff(share, axis=0)).max() < 0.75
    assert {int(share[0].argmax()) for share in ways} == {0, 1, 2}
    assert 0.25 < np.mean([(share.argmax(1) == 0).mean() for share in ways]) < 0.7


def test_the_label_changes_half_way_and_affect_is_mixed() -> None:
    scenes = tiny_scenes(1)
    made = realize(scenes, [0], np.random.default_rng(3))
    share = weights(scenes.times[0], np.random.default_rng(3))
    assert np.array_equal(made.label[0], scenes.labels[0][share.argmax(1)])
    assert made.truth[0] == pytest.approx(share @ scenes.truth[0], abs=1e-5)
    one = share.argmax(1)[share.max(1) > 0.999]
    pure = np.flatnonzero(share.max(1) > 0.999)
    assert made.embedding[0, pure] == pytest.approx(scenes.embedding[0, one, pure].astype(np.float32), abs=5e-3)
    assert made.expression.sum(-1) == pytest.approx(1, abs=1e-5)


def test_a_live_window_has_the_past_and_a_centered_one_both_sides() -> None:
    times = np.array([[0.0, 0.1, 0.3, 0.4, 0.5, np.inf]])
    index, ages = gather(times, np.array([[2]]), 4, centered=False)
    assert index[0, 0, :3].tolist() == [2, 1, 0]
    assert ages[0, 0] == pytest.approx([0, 0.2, 0.3, np.inf])
    index, ages = gather(times, np.array([[3]]), 4, centered=True)
    assert index[0, 0].tolist()[0] == 3
    assert sorted(ages[0, 0].tolist()) == pytest.approx([-0.1, 0, 0.1, np.inf])


def test_the_encoder_looks_back_only_unless_it_is_centered() -> None:
    made = sequences(2)
    other = replace(made, embedding=made.embedding.copy(), expression=np.roll(made.expression, 1, axis=-1))
    other.expression[:, :20] = made.expression[:, :20]
    for centered, same in ((False, True), (True, False)):
        one, two = (encode(net(), part, centered=centered)[0] for part in (made, other))
        assert np.allclose(one[:, :20], two[:, :20], atol=1e-6) == same
        assert not np.allclose(one[:, 20:], two[:, 20:], atol=1e-3)


def test_times_are_relative_and_in_seconds() -> None:
    made = sequences(2)
    later = replace(made, times=made.times + 1000)
    slower = replace(made, times=made.times * 3)
    one, two, three = (encode(net(), part)[0] for part in (made, later, slower))
    assert one == pytest.approx(two, abs=1e-4)
    assert np.abs(one - three).max() > 0.01


def test_frames_beyond_the_span_do_not_count() -> None:
    made = sequences(1)
    made.times[0, 20:] += 2 * SHAPE.span
    alone = Sequences(**{name: values[:, 20:] for name, values in vars(made).items()})
    assert encode(net(), made)[0][:, 20:] == pytest.approx(encode(net(), alone)[0], abs=1e-5)


def test_an_untrained_encoder_is_a_filter_of_what_the_student_says() -> None:
    made, plain = sequences(1), TemporalNet(SHAPE).eval()
    expression, affect = encode(plain, made)
    ages = made.times[0, 20] - made.times[0, 13:21]
    share = np.exp(-5 * ages) / np.exp(-5 * ages).sum()
    logs = share @ np.log(made.expression[0, 13:21].clip(1e-4))
    assert affect[0, 20] == pytest.approx(share @ made.affect[0, 13:21], abs=1e-4)
    assert expression[0, 20] == pytest.approx(np.exp(logs) / np.exp(logs).sum(), abs=1e-4)


def test_its_cost_is_a_few_hundredths_of_the_students() -> None:
    card = find_bundle().card
    assert count_macs(TemporalShape(card.embedding)) < 0.03 * card.macs
    assert count_macs(SHAPE) < count_macs(replace(SHAPE, window=16)) < count_macs(replace(SHAPE, window=16, width=32))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("temporal")
    scenes = tiny_scenes(20, 1)

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        return realize(scenes, rng.integers(len(scenes), size=count), rng)

    return train_temporal(draw, sequences(8, 2), SHAPE, TemporalRecipe(steps=60, sequences=8, rate=5e-3), out)


def test_training_beats_single_frames_on_faces_that_it_has_not_seen(trained: Path) -> None:
    learned, state = load_temporal(trained)
    held_out = sequences(12, 3)
    expression, _ = encode(learned, held_out)
    there = (expression.argmax(-1) == held_out.label).mean()
    assert there > (held_out.expression.argmax(-1) == held_out.label).mean() + 0.05
    assert state["history"]


def test_a_run_that_was_stopped_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien_train.temporal.train.SAVE_EVERY", 4)
    scenes, chosen = tiny_scenes(4), sequences(2, 5)
    recipe = TemporalRecipe(steps=12, sequences=2, asked=4)
    shape = replace(SHAPE, dropout=0.2)
    fail_at = [10**9]
    calls = [0]

    def draw(rng: np.random.Generator, count: int) -> Sequences:
        calls[0] += 1
        if calls[0] > fail_at[0]:
            raise KeyboardInterrupt
        return realize(scenes, rng.integers(len(scenes), size=count), rng)

    whole, _ = load_temporal(train_temporal(draw, chosen, shape, recipe, tmp_path / "whole"))
    fail_at[0] = calls[0] + 7
    with pytest.raises(KeyboardInterrupt):
        train_temporal(draw, chosen, shape, recipe, tmp_path / "parts")
    fail_at[0] = 10**9
    with pytest.raises(InputError, match="--resume"):
        train_temporal(draw, chosen, shape, recipe, tmp_path / "parts")
    with pytest.raises(InputError, match="another shape or recipe"):
        train_temporal(draw, chosen, shape, replace(recipe, rate=1.0), tmp_path / "parts", resume=True)
    again = train_temporal(draw, chosen, shape, recipe, tmp_path / "parts", resume=True)
    last = [torch.load(tmp_path / name / "last.pt", weights_only=True)["net"] for name in ("whole", "parts")]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[0])
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), load_temporal(again)[0].parameters(), strict=True))


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fer-train temporal"):
        load_temporal(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"bad")
    with pytest.raises(InputError, match="not a temporal encoder"):
        load_temporal(tmp_path / "bad.pt")


def stepped(labels: list[int], rate: float = 25.0) -> Sequences:
    count = len(labels)
    sure = np.full((1, count, 8), 0.02, np.float32)
    sure[0, np.arange(count), labels] = 0.86
    affect = np.zeros((1, count, 2), np.float32)
    return Sequences(
        np.arange(count)[None] / rate, np.zeros((1, count, 6), np.float32), sure, affect, np.array([labels]), affect
    )


def test_filters_are_those_of_the_runtime() -> None:
    made = stepped([0] * 20 + [1] * 20)
    average, expected = Average(0.2), []
    for value in made.expression[0]:
        expected.append(average.update(value, 1 / 25))
    assert averaged(made, 0.2).expression[0] == pytest.approx(np.array(expected), abs=1e-5)
    late = streamed(made, 0.2).label[0]
    assert np.flatnonzero(late == 1)[0] > np.flatnonzero(averaged(made, 0.2).label[0] == 1)[0]
    assert (raw(made).label == made.label).all()


def test_a_label_is_held_until_it_is_beaten() -> None:
    level = np.full((1, 4, 8), 0.1, np.float32)
    level[0, :, 0] = [0.40, 0.38, 0.40, 0.20]
    level[0, :, 1] = [0.38, 0.40, 0.38, 0.50]
    assert held(level)[0].tolist() == [0, 0, 0, 1]


def test_a_sliding_window_outvotes_a_moment_and_keeps_changes_in_place() -> None:
    made = stepped([0] * 30 + [1] + [0] * 20 + [2] * 40)
    label = slid(raw(made), made.times, 0.4).label[0]
    assert set(label[:50]) == {0}
    assert abs(int(np.flatnonzero(label == 2)[0]) - 51) <= 1


def test_delays_are_told_in_seconds_for_changes_that_all_find() -> None:
    made = stepped([0] * 20 + [1] * 20 + [2] * 20)
    label = made.label.copy()
    label[0, 20:25] = 0
    late = Reading(made.expression, made.affect, label)
    assert mean_delay(made, {"raw": raw(made), "late": late}) == pytest.approx({"raw": 0.0, "late": 0.1})
    label[0, 20:40] = 0  # the first change is found by one only: the second counts
    assert mean_delay(made, {"raw": raw(made), "late": late})["late"] == 0.0


def test_figures_know_flips_and_what_is_right() -> None:
    made = stepped([0] * 20 + [1] * 20)
    perfect = figures(raw(made), made)
    assert perfect["accuracy"][0] == perfect["macro_f1"][0] == 1
    assert perfect["flips"][0] == pytest.approx(1 / (39 / 25), abs=1e-3)
    wrong = Reading(made.expression, made.affect, np.zeros_like(made.label))
    assert figures(wrong, made)["accuracy"][0] == 0.5
    assert gains(raw(made), wrong, made)["accuracy"] == [0.5, 0.5, 0.5]


@pytest.fixture
def stills(data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Faces], list[Faces], list[Faces]]:
    monkeypatch.setattr(mien_train.temporal.data, "VALIDATION", 0.4)
    monkeypatch.setattr(mien_train.temporal.data, "repeats", lambda hashes, *_: np.zeros(len(hashes), bool))
    return load_stills(data, ("ferplus/validation", "rafdb/train"))


def test_stills_to_learn_from_choose_by_and_test_on_differ(
    stills: tuple[list[Faces], list[Faces], list[Faces]],
) -> None:
    images = [{item.faces.encoded(i) for item in part for i in range(len(item.faces))} for part in stills]
    assert all(images)
    assert not images[0] & images[1]
    assert not (images[0] | images[1]) & images[2]


def test_what_repeats_a_test_image_is_left_out(data: Path) -> None:
    """All of the made-up pictures are the same portrait."""
    learned, chosen, tests = load_stills(data, ("ferplus/validation",))
    assert sum(len(item.faces) for item in [*learned, *chosen]) < 12, "of 24"
    assert all(len(item.faces) for item in tests)


def test_scenes_are_kept_and_a_run_that_was_killed_goes_on(
    stills: tuple[list[Faces], list[Faces], list[Faces]], tiny_bundle: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import mien_train.temporal.scenes as module

    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    bundle = find_bundle(tiny_bundle)
    one = make_scenes(stills[0], bundle, 3, 5, 0, tmp_path)
    assert one.embedding.shape == (3, 3, 5, 16)
    assert (one.labels[:, 0] == 0).all()
    assert (one.labels[:, 1:] > 0).all()
    assert (one.labels[:, 1] != one.labels[:, 2]).all()
    made = []
    real = module._scene
    monkeypatch.setattr(module, "_scene", lambda *args: made.append(args[-1]) or real(*args))
    again = make_scenes(stills[0], bundle, 5, 5, 0, tmp_path)
    assert [k for _, k in made] == [4, 5]
    assert np.array_equal(again.take(np.arange(3)).embedding, one.embedding)
    assert not list(tmp_path.rglob("*partial*"))


def test_sets_without_neutral_faces_are_refused(
    stills: tuple[list[Faces], list[Faces], list[Faces]], tiny_bundle: Path, tmp_path: Path
) -> None:
    item = stills[0][0]
    some = item.subset(item.faces.expression == EXPRESSIONS.index("anger"))
    with pytest.raises(InputError, match="neutral"):
        make_scenes([some], find_bundle(tiny_bundle), 1, 4, 0, tmp_path)


def test_some_sequences_may_hold_one_still() -> None:
    made = realize(tiny_scenes(20), np.arange(20), np.random.default_rng(0), steady=0.5)
    held_ = (made.label == made.label[:, :1]).all(1)
    assert 4 <= held_.sum() <= 18
    scenes = tiny_scenes(1)
    one = realize(scenes, [0], np.random.default_rng(1), steady=1.0)
    k = list(scenes.labels[0]).index(one.label[0, 0])
    assert one.embedding[0] == pytest.approx(scenes.embedding[0, k].astype(np.float32), abs=1e-3)
