"""The part of fer-doctor's report that needs a bundle: whether it is complete, which backend is fastest, and whether
outputs are correct."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from mien.bundle import IR_FILES, MODELS, Bundle, find_bundle
from mien.diagnostics.machine import Facts, Problems
from mien.diagnostics.selftest import try_backend, try_picture, words
from mien.engines.golden import GOLDEN
from mien.engines.selection import Backend, Selection, candidates, select_backend
from mien.errors import MienError


def check_up(args: argparse.Namespace, problems: Problems) -> Iterator[tuple[str, Facts]]:
    """Sections of the report, each as soon as it is known. Fills ``problems``, and raises nothing."""
    try:
        bundle = find_bundle(args.model)
    except (MienError, OSError) as error:
        problems[str(error)] = True
        return
    yield "bundle", _bundle(bundle, problems)
    tried: list[Backend] = []
    chosen = _choose(bundle, "auto", "auto", args, problems)
    if chosen is not None:
        tried += [backend for backend in candidates(bundle, "auto", "auto") if " ".join(backend) not in chosen.refused]
        yield "auto", _reasons(chosen)
    needed = [(chosen.device, chosen.precision)] if chosen else []
    if (args.device, args.precision) != ("auto", "auto"):
        asked = _choose(bundle, args.device, args.precision, args, problems)
        if asked is not None:
            needed = [(asked.device, asked.precision)]
            tried += [backend for backend in needed if backend not in tried]
            yield "asked", _reasons(asked)
    if tried:
        yield "ways", {" ".join(way): try_backend(bundle, way, way in needed, args.threads, problems) for way in tried}
        yield "predict", try_picture(args.model, args.device, args.precision, args.threads, problems)


def _bundle(bundle: Bundle, problems: Problems) -> Facts:
    card, files = bundle.card, {}
    for name in card.files:
        try:
            size = bundle.verified(name).stat().st_size
            files[name] = f"{size / 1e6:.1f} MB, matches its card"
        except (MienError, OSError) as error:
            files[name] = "does not match its card"
            problems[str(error)] = True
    proofs = {}
    own = [f"openvino {precision}" for precision, name in IR_FILES.items() if name in card.files]
    for name in dict.fromkeys([*(held for held in bundle.precisions if held != "fp32"), *own, *card.proofs]):
        passed = card.proofs.get(name, {}).get("passed")
        reason = "there is none" if name not in card.proofs else "did not pass"
        proofs[name] = "passed" if passed is True else f"{reason}, so auto does not take it"
    packaged = bundle.folder.parent == MODELS
    return {
        "name": f"{card.name} {card.version}",
        "folder": f"packaged as {bundle.folder.name}" if packaged else str(bundle.folder),
        "files": files,
        "precisions": bundle.precisions,
        "proofs": proofs,
        "golden_outputs": GOLDEN in card.files,
    }


def _choose(
    bundle: Bundle, device: str, precision: str, args: argparse.Namespace, problems: Problems
) -> Selection | None:
    try:
        return select_backend(bundle, device, precision, args.threads, fresh=args.fresh)
    except Exception as error:
        problems[words(error)] = True
        return None


def _reasons(choice: Selection) -> Facts:
    way = f"{choice.device} {choice.precision}"
    return {"way": way, "why": choice.why, "milliseconds": choice.times, "refused": choice.refused}
