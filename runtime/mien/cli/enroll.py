"""``fer-enroll``: teach this device an expression from a few examples, on the command line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mien.bundle import find_bundle
from mien.cli.parser import Parser
from mien.cli.source_options import add_turning
from mien.engines import DEVICES
from mien.enrollment.classes import Personal
from mien.enrollment.learn import MAX_EXAMPLES, MAX_LOSS
from mien.enrollment.storage import load_personal, save_personal
from mien.errors import EnrolmentRefused, InputError, MienError
from mien.recognizer import Recognizer
from mien.sinks.paths import check_output
from mien.sources.base import Source
from mien.sources.factory import open_source
from mien.sources.privacy import without_secrets
from mien.sources.video import quiet_opencv
from mien.terminal import failed, say, tell
from mien.types import Affect, Image

FRAMES_FROM_CLIP = 20
"""Number of frames taken from a video, evenly spread."""
SHOT_INTERVAL_SECONDS = 0.4
"""Time between two pictures from a camera."""

EXAMPLES = """examples:
  fer-enroll "fearfully surprised" --source shots/     a folder of pictures, or one picture, one face each
  fer-enroll wink --source wink.mp4                    twenty frames of a clip
  fer-enroll wink --camera 0                           five pictures after a countdown
  fer-enroll --neutral --camera 0                      how you look at rest, which is then subtracted
  fer-enroll --list
  fer-enroll --rename wink "left wink"
  fer-enroll --remove wink
  fer-run --camera 0 --show --personal personal.npz    use it

exit codes: 0 learned; 1 refused or failed, and the file is unchanged; 2 bad usage or input."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. Bad usage ends the program with code 2."""
    parser = Parser(
        prog="fer-enroll",
        description="Teach this device an expression from a few examples. Nothing leaves it, and no picture is saved.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("label", nargs="?", help="name of the expression; a known one gets more examples")
    parser.add_argument("--source", metavar="X", help="picture, folder, 'glob*.jpg', video or address")
    parser.add_argument("--camera", metavar="N", help="number of a camera; the first is 0")
    parser.add_argument("--personal", metavar="FILE", default="personal.npz", help="the file (default: %(default)s)")
    what = parser.add_argument_group("instead of a label").add_mutually_exclusive_group()
    what.add_argument("--neutral", action="store_true", help="learn how the person looks at rest")
    what.add_argument("--list", action="store_true", help="list what was learned")
    what.add_argument("--rename", nargs=2, metavar=("OLD", "NEW"), help="rename a learned expression")
    what.add_argument("--remove", metavar="LABEL", help="forget an expression; 'neutral' is the face at rest")
    how = parser.add_argument_group("how")
    add_turning(how)
    how.add_argument("--shots", metavar="N", type=_shots, default=5, help="pictures from a camera (default: 5)")
    how.add_argument(
        "--countdown", metavar="S", type=_seconds, default=3, help="seconds before the first picture (default: 3)"
    )
    how.add_argument(
        "--max-loss", metavar="POINTS", type=_points, default=100 * MAX_LOSS, help="percentage points of accuracy that "
        "basic expressions may lose to all learned ones (default: 1)",
    )  # fmt: skip
    how.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    how.add_argument("--device", choices=("auto", *DEVICES), default="auto", help="what runs the model (default: auto)")
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    args = parser.parse_args(argv)
    learns = args.label is not None or args.neutral
    others = args.list or args.rename is not None or args.remove is not None
    if args.label is not None and (others or args.neutral):
        parser.error("give a label, or one of --neutral, --list, --rename and --remove")
    if not (learns or others):
        parser.error('what should be learned? Give a label, as in: fer-enroll "fearfully surprised" --source shots/')
    if learns and (args.source is None) == (args.camera is None):
        parser.error("give either --source or --camera to learn from")
    if others and (args.source is not None or args.camera is not None):
        parser.error("--source and --camera are for learning; leave them out")
    return args


def run(args: argparse.Namespace) -> int:
    """Learn, or change what was learned. Returns the exit code; errors are printed on stderr."""
    try:
        quiet_opencv()
        if args.label is None and not args.neutral:
            say(_change(args))
        else:
            say(_learn(args))
    except MienError as error:
        failed("fer-enroll", error)
        return 2 if isinstance(error, (InputError, OSError)) else 1
    return 0


def work() -> int:
    """Parse the options and run. Returns the exit code."""
    return run(parse_args())


def _learn(args: argparse.Namespace) -> str:
    path = Path(args.personal)
    named = args.source if args.camera is None else args.camera
    with open_source(named, rotate=args.rotate, flip=args.flip) as source:
        check_output(args.personal, source)
        before = path if path.exists() else None
        recognizer = Recognizer(args.model, device=args.device, personal=before)
        pictures = _pictures(source, args)
    if args.neutral:
        rest = recognizer.enroll_neutral(pictures, skip_faceless=True)
        looks = max(rest.probabilities, key=rest.probabilities.__getitem__)
        say(f"at rest: {looks} {rest.probabilities[looks]:.0%}{_affect(rest.affect)}; subtracted from now on")
    else:
        report = recognizer.enroll(args.label, pictures, max_loss=args.max_loss / 100, skip_faceless=True)
        say(str(report))
        _confirm(report.doubts)
    save_personal(recognizer.personal, path)
    model = "" if args.model == "default" else f" --model {args.model}"  # the file fits no other
    return f"written: {path.absolute()}; use it with: fer-run{model} --personal {path}"


def _confirm(doubts: Sequence[str]) -> None:
    """Tell what is doubtful before it is saved. At a terminal, ask; EnrolmentRefused unless the answer is yes."""
    for doubt in doubts:
        tell(f"note: {doubt}")
    if doubts and sys.stdin.isatty() and sys.stderr.isatty():
        tell("save it all the same? [y/N]")
        if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
            raise EnrolmentRefused("nothing was saved")


def _change(args: argparse.Namespace) -> str:
    """Rename or remove, and list what remains."""
    path = Path(args.personal)
    personal = load_personal(path, find_bundle(args.model).card)
    if args.rename:
        personal = personal.renamed(*args.rename)
    elif args.remove == "neutral" and personal.rest:
        personal = Personal(personal.model, personal.basic, personal.examples, personal.weights)
    elif args.remove is not None:
        personal = personal.removed(args.remove)
    if not args.list:
        save_personal(personal, path)
    lines = [f"{label}: {len(held)} example{'s' * (len(held) != 1)}" for label, held in personal.examples.items()]
    if personal.rest:
        lines.append(f"face at rest: learned{_affect(personal.rest.affect)}")
    return "\n".join(lines or ["nothing learned yet"])


def _affect(affect: Affect | None) -> str:
    """Valence and arousal as text that starts with a comma; empty for a model without them."""
    return "" if affect is None else f", valence {affect.valence:+.2f}, arousal {affect.arousal:+.2f}"


def _pictures(source: Source, args: argparse.Namespace) -> list[Image]:
    if source.kind == "live":
        return _from_camera(source, args.shots, args.countdown)
    if source.kind == "video":
        return _from_clip(source)
    if (source.count or 0) > MAX_EXAMPLES:
        raise InputError(f"{source.name} holds {source.count} pictures; {MAX_EXAMPLES} are enough, give fewer")
    return [frame.image for frame in source]


def _from_clip(source: Source) -> list[Image]:
    """Evenly spread frames. The number of frames may be unknown, so every other one is dropped whenever there are twice
    as many as needed."""
    images: list[Image] = []
    step = 1
    for i, frame in enumerate(source):
        if i % step == 0:
            images.append(frame.image.copy())
        if len(images) >= 2 * FRAMES_FROM_CLIP:
            images, step = images[::2], 2 * step
    chosen = np.unique(np.linspace(0, len(images) - 1, min(len(images), FRAMES_FROM_CLIP)).astype(int))
    return [images[i] for i in chosen]


def _from_camera(source: Source, shots: int, countdown: float) -> list[Image]:
    """Pictures at intervals, after a countdown that starts with the first frame."""
    images: list[Image] = []
    start, announced = 0.0, 0.0
    for frame in source:
        now = time.monotonic()
        if not start:
            start, announced = now, countdown + 1
        left = countdown - (now - start)
        if left > 0 and left <= announced - 1:
            announced = float(np.ceil(left))
            tell(f"hold the expression in {announced:.0f} ...")
        if left <= -SHOT_INTERVAL_SECONDS * len(images):
            images.append(frame.image.copy())
            tell(f"picture {len(images)} of {shots}")
        if len(images) == shots:
            break
    return images


def _shots(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_EXAMPLES):
        raise argparse.ArgumentTypeError(
            f"{without_secrets(text)[:40]!r} is not a whole number from 1 to {MAX_EXAMPLES}"
        )
    return int(text)


def _seconds(text: str) -> float:
    return _number(text, 0.0, 60.0, "a number of seconds from 0 to 60")


def _points(text: str) -> float:
    return _number(text, 0.01, 100.0, "a number of points from 0.01 to 100")


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{without_secrets(text)[:40]!r} is not {what}")
    return value
