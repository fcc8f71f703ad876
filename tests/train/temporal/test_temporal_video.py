"""Labeled video: the CSV, clips through the runtime, and the layouts of public sets on made-up trees."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.bundle import find_bundle
from mien.errors import InputError
from mien.recognizer import Recognizer
from mien.types import EXPRESSIONS
from mien_train import cli
from mien_train.temporal.convert import convert
from mien_train.temporal.video import Row, join, load_labeled, read_rows, write_rows

NAN = float("nan")
HEAD = "clip,frame,time,expression,valence,arousal\n"


def clip(folder: Path, portrait: np.ndarray, tint: float, count: int = 6, blank: tuple[int, ...] = ()) -> Path:
    """Pictures of the portrait's head; gray ones at ``blank``."""
    folder.mkdir(parents=True)
    head = np.clip(portrait[20:200, 140:300] * np.array([tint, 1.0, 1 / tint]), 0, 255).astype(np.uint8)
    for i in range(count):
        picture = np.full((240, 320, 3), 90, np.uint8)
        if i not in blank:
            picture[30:210, 80 + i : 240 + i] = head
        cv2.imwrite(str(folder / f"{i:05d}.png"), picture)
    return folder


def rows_of(name: str, label: str, count: int = 6) -> list[Row]:
    return [Row(name, i, i / 25, EXPRESSIONS.index(label), (0.5, -0.25)) for i in range(count)]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [*rows_of("a", "fear", 3), Row("b", 2, 0.5, -1, (NAN, NAN))]
    write_rows(tmp_path / "labels.csv", rows)
    made = read_rows(tmp_path / "labels.csv")
    assert made["a"] == rows[:3]
    assert made["b"][0].label == -1
    assert np.isnan(made["b"][0].affect).all()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,frame\n", "no column time"),
        (HEAD, "no rows"),
        (HEAD + "a,0,0,joy,,\n", "line 2.*'joy' is not a class"),
        (HEAD + "a,x,0,fear,,\n", "frame number"),
        (HEAD + "a,0,nan,fear,,\n", "time"),
        (HEAD + "a,0,,fear,,\n", "time"),
        (HEAD + "a,0,0,fear,2,0\n", "valence is 2"),
        (HEAD + "a,0,0,fear,much,0\n", "valence"),
        (HEAD + "a,0,0,fear,,\na,0,1,fear,,\n", "comes twice"),
        (HEAD + "a,0,1,fear,,\na,1,1,fear,,\n", "does not rise"),
        ("\x00\xff", "no column|cannot read"),
    ],
)
def test_a_csv_that_cannot_be_used_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / "labels.csv")


def test_a_csv_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_rows(tmp_path / "none.csv")


def test_clips_go_through_the_runtime_and_frames_without_a_face_are_gaps(
    tmp_path: Path, portrait: np.ndarray, tiny_bundle: Path
) -> None:
    for name, tint in (("a", 0.8), ("b", 1.2)):
        clip(tmp_path / name, portrait, tint, 8, blank=(3,))
    write_rows(tmp_path / "labels.csv", [*rows_of("a", "fear", 8), *rows_of("b", "anger", 8)])
    learned, chosen = load_labeled(tmp_path / "labels.csv", find_bundle(tiny_bundle), tmp_path / "cache")
    assert len(learned) == len(chosen) == 1
    there = np.isfinite(learned.times[0])
    assert learned.times[0, there] == pytest.approx(np.array([0, 1, 2, 4, 5, 6, 7]) / 25)
    assert set(learned.label[0, there]) == {EXPRESSIONS.index("fear")}
    assert set(chosen.label[0, np.isfinite(chosen.times[0])]) == {EXPRESSIONS.index("anger")}
    assert learned.truth[0, there] == pytest.approx(np.tile([0.5, -0.25], (7, 1)))
    (face,) = Recognizer(tiny_bundle, device="cpu").predict(cv2.imread(str(tmp_path / "a" / "00000.png")))
    assert learned.embedding[0, 0] == pytest.approx(face.embedding, abs=0.05)


def test_clips_that_do_not_belong_to_their_labels_are_refused(
    tmp_path: Path, portrait: np.ndarray, tiny_bundle: Path
) -> None:
    clip(tmp_path / "a", portrait, 1.0, 2)
    path, bundle = tmp_path / "labels.csv", find_bundle(tiny_bundle)
    write_rows(path, rows_of("a", "fear", 3))
    with pytest.raises(InputError, match="no frame 2"):
        load_labeled(path, bundle, tmp_path / "cache")
    write_rows(path, rows_of("elsewhere", "fear", 3))
    with pytest.raises(InputError, match="neither a folder"):
        load_labeled(path, bundle, tmp_path / "cache")
    write_rows(path, rows_of("a", "fear", 2))
    with pytest.raises(InputError, match="two or more"):
        load_labeled(path, bundle, tmp_path / "cache")


def test_long_clips_are_cut_and_short_ones_filled(tmp_path: Path, portrait: np.ndarray, tiny_bundle: Path) -> None:
    for name in "ab":
        clip(tmp_path / name, portrait, 1.0, 5)
    write_rows(tmp_path / "labels.csv", [*rows_of("a", "fear", 5), *rows_of("b", "fear", 5)])
    learned, _ = load_labeled(tmp_path / "labels.csv", find_bundle(tiny_bundle), tmp_path / "cache")
    whole = type(learned)(**{name: values[:, :5] for name, values in vars(learned).items()})
    cut = join([whole], 3)
    assert cut.times.shape == (2, 3)
    assert np.isinf(cut.times[1, 2])
    assert cut.label[1].tolist()[-1] == -1
    assert np.isnan(cut.truth[1, 2]).all()


def test_affwild2_pictures_with_gaps_and_videos(tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "affwild"
    for kind, text in {
        "EXPR_Classification_Challenge": "Neutral,Anger\n0\n4\n7\n-1\n6\n",
        "VA_Estimation_Challenge": "valence,arousal\n0.1,0.2\n-5,-5\n0.5,-0.5\n0,0\n-1,1\n",
    }.items():
        (root / "Annotations" / kind / "Train_Set").mkdir(parents=True)
        (root / "Annotations" / kind / "Train_Set" / "12-30_left.txt").write_text(text)
    pictures = clip(root / "cropped_aligned" / "12-30_left", portrait, 1.0, 4)
    for old, new in ((3, 5), (2, 4), (1, 2), (0, 1)):  # numbered from 1; the third is missing
        (pictures / f"{old:05d}.png").rename(pictures / f"{new:05d}.png")
    assert convert("affwild2", root, tmp_path / "aff.csv") == 4
    (rows,) = read_rows(tmp_path / "aff.csv").values()
    assert [(row.frame, round(30 * row.time)) for row in rows] == [(0, 0), (1, 1), (2, 3), (3, 4)]
    assert [EXPRESSIONS[row.label] if row.label >= 0 else "" for row in rows] == [
        "neutral",
        "happiness",
        "",
        "surprise",
    ]
    assert rows[0].affect == (0.1, 0.2)
    assert np.isnan(rows[1].affect).all()
    assert rows[3].affect == (-1, 1)


def test_affwild2_from_videos_and_what_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "affwild"
    folder = root / "EXPR_Set" / "Train_Set"
    folder.mkdir(parents=True)
    (folder / "5.txt").write_text("Neutral\n1\n2\n")
    with pytest.raises(InputError, match="neither its pictures nor its video"):
        convert("affwild2", root, tmp_path / "aff.csv")
    (root / "batch1").mkdir()
    (root / "batch1" / "5.mp4").write_bytes(b"")
    assert convert("affwild2", root, tmp_path / "aff.csv", rate=10) == 2
    (rows,) = read_rows(tmp_path / "aff.csv").values()
    assert [(row.frame, row.time, EXPRESSIONS[row.label]) for row in rows] == [(0, 0, "anger"), (1, 0.1, "disgust")]
    (folder / "5.txt").write_text("Neutral\nangry\n")
    with pytest.raises(InputError, match=r"5\.txt line 2"):
        convert("affwild2", root, tmp_path / "aff.csv")


def test_afew_va(tmp_path: Path, portrait: np.ndarray) -> None:
    folder = clip(tmp_path / "afew" / "001", portrait, 1.0, 3)
    frames = {f"{i:05d}": {"landmarks": [], "valence": 5.0 * i - 5, "arousal": -2.0} for i in (0, 2)}
    (folder / "001.json").write_text(json.dumps({"video_id": "001", "frames": frames}))
    assert convert("afew-va", tmp_path / "afew", tmp_path / "afew.csv") == 2
    (rows,) = read_rows(tmp_path / "afew.csv").values()
    assert [(row.frame, row.time, row.affect) for row in rows] == [(0, 0.0, (-0.5, -0.2)), (2, 0.08, (0.5, -0.2))]
    (folder / "001.json").write_text("{}")
    with pytest.raises(InputError, match=r"001\.json"):
        convert("afew-va", tmp_path / "afew", tmp_path / "afew.csv")


def test_ckplus(tmp_path: Path, portrait: np.ndarray) -> None:
    root = tmp_path / "ck"
    clip(root / "cohn-kanade-images" / "S005" / "001", portrait, 1.0, 7)
    (root / "Emotion" / "S005" / "001").mkdir(parents=True)
    label = root / "Emotion" / "S005" / "001" / "S005_001_00000011_emotion.txt"
    label.write_text("   3.0000000e+00\n")
    assert convert("ck+", root, tmp_path / "ck.csv") == 7
    (rows,) = read_rows(tmp_path / "ck.csv").values()
    assert [row.label for row in rows] == [0, -1, -1, -1, *[EXPRESSIONS.index("disgust")] * 3]
    label.write_text("disgust")
    with pytest.raises(InputError, match="0 to 7"):
        convert("ck+", root, tmp_path / "ck.csv")


@pytest.mark.parametrize("layout", ["affwild2", "afew-va", "ck+"])
def test_a_folder_that_is_something_else_says_so(layout: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing in the layout"):
        convert(layout, tmp_path, tmp_path / "x.csv")
    with pytest.raises(InputError, match="not a folder"):
        convert(layout, tmp_path / "none", tmp_path / "x.csv")


def test_fer_train_temporal_and_export_from_labeled_video(
    tmp_path: Path, portrait: np.ndarray, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a set's layout to a stream that reads with the encoder; a wrong student is refused."""
    from mien_export import cli as export
    from mien_export.pack import read_card

    root = tmp_path / "afew"
    for k, tint in enumerate((0.7, 0.9, 1.1)):
        folder = clip(root / f"{k:03d}", portrait, tint, 6)
        frames = {f"{i:05d}": {"valence": 10 * tint - 9, "arousal": 3} for i in range(6)}
        (folder / f"{k:03d}.json").write_text(json.dumps({"frames": frames}))
    labels, out = tmp_path / "afew.csv", tmp_path / "run"
    assert cli.run(cli.parse_args(["sequences", "afew-va", str(root), "-o", str(labels)])) == 0
    args = ["temporal", "--labels", str(labels), "--model", str(tiny_bundle), "-o", str(out), "--steps", "4"]
    assert cli.run(cli.parse_args(args)) == 0
    assert "encoder" in capsys.readouterr().out
    figures = json.loads((out / "temporal.json").read_text())["figures"]
    assert "raw" in figures["validation"]
    made = tmp_path / "made"
    command = [str(tiny_bundle), "-o", str(made), "--temporal", str(out / "temporal.pt")]
    assert export.run(export.parse_args(command)) == 0
    card = read_card(made)
    assert card.temporal["window"] == 32
    assert max(card.temporal["parity"].values()) <= 1e-4
    assert "labeled video of afew.csv" in (made / "MODEL_CARD.md").read_text()
    stream = Recognizer(made, device="cpu", threads=1).stream(temporal=True)
    picture = cv2.imread(str(root / "000" / "00000.png"))
    (face,) = [stream.update(picture, i / 25) for i in range(3)][-1]
    assert face.raw is not None
    assert sum(face.expression.probabilities.values()) == pytest.approx(1, abs=1e-5)
    other = tmp_path / "student.pt"
    import torch

    state = torch.load(out / "temporal.pt", weights_only=True)
    torch.save(state | {"card": state["card"] | {"student": "0" * 64}}, other)
    with pytest.raises(ValueError, match="another student"):
        export.run(export.parse_args([*command[:3], "--temporal", str(other)]))
    assert read_card(made).temporal == card.temporal, "the bundle that was there is gone"
