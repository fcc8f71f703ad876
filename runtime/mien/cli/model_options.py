"""Options about the model and what it reads, which ``fer-run`` and ``fer-batch`` share."""

from __future__ import annotations

import argparse

from mien.bundle import FILES
from mien.cli.numbers import probability, seconds
from mien.engines import DEVICES
from mien.tracking.options import StreamOptions


def add_model(group: argparse._ActionsContainer) -> None:
    """``--model``, ``--device`` and ``--precision``."""
    group.add_argument("--model", metavar="M", default="default", help="packaged model, or the folder of a bundle")
    group.add_argument(
        "--device", choices=("auto", *DEVICES), default="auto", help="what runs the model (default: auto)"
    )
    group.add_argument(
        "--precision",
        choices=("auto", *FILES),
        default="auto",
        help="number format in which the model is computed (default: auto)",
    )


def add_recognition(group: argparse._ActionsContainer) -> None:
    """What is recognized, and how it is smoothed over time."""
    group.add_argument("--personal", metavar="FILE", help="file of expressions that fer-enroll learned")
    group.add_argument(
        "--min-face",
        metavar="PX",
        type=float,
        default=0.0,
        help="smallest face to find, in px (default: about a fortieth of the picture)",
    )
    group.add_argument(
        "--min-confidence",
        metavar="P",
        type=probability,
        default=0.0,
        help="label expressions that are less likely than this 'uncertain' (default: 0)",
    )
    group.add_argument(
        "--exclude",
        metavar="LABEL",
        action="append",
        default=[],
        help="leave this expression out, for example contempt; the others share its probability (may be repeated)",
    )
    group.add_argument(
        "--smoothing",
        metavar="S",
        type=seconds,
        default=StreamOptions.smoothing,
        help="smooth results over about S seconds of video; 0 turns it off (default: %(default)s)",
    )
    group.add_argument(
        "--temporal",
        action=argparse.BooleanOptionalAction,
        help="recognize faces in video from their last frames, with the bundle's temporal encoder "
        "(default: if it has one)",
    )
