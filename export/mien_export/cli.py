"""fer-export: pack a trained checkpoint into a bundle that devices run, with proof that it computes the same."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from mien.bundle import FILES, sha256
from mien.card import CARD, read_card
from mien.engines import load_engine
from mien.errors import InputError, MienError, OutputError
from mien_export.model_card import FILE, model_card
from mien_export.parity import Parity, ParityError, compare, face_crops


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fer-export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a finished checkpoint of fer-train, or EmoNet's .pth")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="the bundle's folder, made anew; EmoNet's .onnx"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="pictures of faces for the parity check")
    parser.add_argument("--opset", type=int, default=18, help="ONNX opset (default: 18)")
    return parser.parse_args(argv)


def export(checkpoint: Path, out: Path, data: Path | None = None, opset: int = 18) -> Parity:
    """Write the bundle ``out``. It is made aside and moved into place, so a failure leaves nothing half-written.

    Raises InputError, ModelInvalid or OutputError, and ParityError where ONNX Runtime and torch disagree.
    """
    from mien_export.checkpoint import load_deployed, run_torch, write_onnx

    if out.exists() and not (out / CARD).is_file() and any(out.iterdir() if out.is_dir() else [out]):
        raise OutputError(f"{out} exists and is not a bundle; choose another folder, or remove it")
    model, card = load_deployed(checkpoint)
    crops = face_crops(data, card.crop)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(f"cannot write in {out.parent}: {error.strerror}; choose another folder with -o") from error
    try:
        path = aside / FILES["fp32"]
        write_onnx(model, card, path, opset)
        made = load_engine(path, device="cpu").run(crops)
        parity = compare(run_torch(model, crops), (made["expression"], made["affect"], made["embedding"]))
        card = replace(card, files={path.name: sha256(path)})
        (aside / CARD).write_text(card.to_json(), encoding="utf-8")
        (aside / FILE).write_text(model_card(card), encoding="utf-8")
        read_card(aside)
        os.chmod(aside, 0o755)
        if out.exists():
            shutil.rmtree(out)
        aside.replace(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return parity


def run(args: argparse.Namespace) -> int:
    if args.data is not None and not args.data.is_dir():
        raise InputError(f"--data {args.data} is not a folder")
    try:
        if args.checkpoint.suffix == ".pth":
            from mien_export.emonet import export_emonet

            gap = export_emonet(args.checkpoint, args.out, args.opset)
            print(f"{args.out}: EmoNet. ONNX Runtime against torch: at most {gap:.1e} of the largest output")
            return 0
        parity = export(args.checkpoint, args.out, args.data, args.opset)
    except ParityError as error:
        print(f"fer-export: nothing written: {error}", file=sys.stderr)
        return 3
    size = sum(p.stat().st_size for p in args.out.iterdir()) / 1e6
    print(
        f"{args.out}: {size:.1f} MB. ONNX Runtime against torch on {parity.crops} crops, largest differences: "
        f"probability {parity.expression:.1e}, affect {parity.affect:.1e}, embedding {parity.embedding:.1e}"
    )
    return 0


def main() -> None:
    try:
        sys.exit(run(parse_args()))
    except MienError as error:
        print(f"fer-export: {error}", file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        print(f'fer-export: {error.name} is missing; run: pip install "mien[train,export,cpu]"', file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
