"""fer-export: pack a trained checkpoint, or a bundle, for the devices that run it, with proof that it still works."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from mien.errors import InputError, MienError
from mien_export.calibration_faces import LIMIT
from mien_export.pack import Wanted, default_out, pack
from mien_export.parity import ParityError
from mien_export.proof import Limits, ProofError, remarks, table
from mien_export.share import share
from mien_export.triton import Backend, Precision

EXAMPLES = """examples:
  fer-export --int8                                     the packaged model in INT8, without torch
  fer-export runs/student/student.pt -o my-bundle       a trained checkpoint (wants torch)
  fer-export my-bundle -o quick --int8 --data faces/    INT8, calibrated and proven on your own faces
  fer-export my-bundle -o ov --int8 --openvino          OpenVINO's form of both precisions too
  fer-export my-bundle --triton models                  a model repository for Triton Inference Server

exit codes: 0 written, 2 bad usage or input, 3 the proof failed and nothing was written"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fer-export", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", nargs="?", default="default", help="a finished checkpoint (.pt), a bundle, a packaged name (default: "
        "the packaged model), or EmoNet's .pth",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="the bundle's folder, made anew; EmoNet's .onnx")
    make = parser.add_argument_group("what to make beside fp32")
    make.add_argument("--int8", action="store_true", help="INT8 with explicit Q/DQ")
    make.add_argument("--int8-only", action="store_true", help="--int8, and leave fp32 out: a quarter of the size")
    make.add_argument("--half", action="store_true", help="float16 weights and arithmetic, for GPUs")
    make.add_argument("--openvino", action="store_true", help="OpenVINO IR of fp32, and of INT8 where there is one")
    make.add_argument("--tensorrt", action="store_true", help="build this machine's TensorRT plans, in its cache")
    make.add_argument(
        "--device", choices=("tensorrt", "dla:0", "dla:1"), help="what --tensorrt builds for: the GPU (default), or a "
        "Jetson's accelerator",
    )  # fmt: skip
    make.add_argument("--temporal", type=Path, metavar="PT", help="add the encoder that fer-train temporal made")
    make.add_argument(
        "--share", metavar="NAME", help="of a checkpoint: write only its last layer, for the network of the packaged "
        "bundle NAME, which the checkpoint must not have changed",
    )  # fmt: skip
    make.add_argument("--opset", type=int, default=18, help="ONNX opset of a checkpoint's export (default: 18)")
    faces = parser.add_argument_group("faces for calibration and proof")
    faces.add_argument(
        "--data", nargs="+", default=[], metavar="FACES", help="folders of pictures, parquet files, videos, camera "
        "numbers (default: views of one portrait, a rough proof)",
    )  # fmt: skip
    faces.add_argument("--faces", type=int, default=LIMIT, metavar="N", help=f"at most N of them; 0: all ({LIMIT})")
    faces.add_argument("--keep-ranges", action="store_true", help="calibrate by the bundle's ranges: all FACES prove")
    faces.add_argument(
        "--exemplars", nargs="+", default=[], metavar="FACES", help="with known expressions and not trained on: what "
        "fer-enroll tells new expressions from",
    )  # fmt: skip
    limits = parser.add_argument_group("limits of the proof")
    limits.add_argument("--max-accuracy-drop", type=float, default=0.01, metavar="X", help="(default: 0.01)")
    limits.add_argument("--max-ccc-drop", type=float, default=0.02, metavar="X", help="(default: 0.02)")
    limits.add_argument("--min-speedup", type=float, default=0.0, metavar="X", help="refuse what is slower here")
    limits.add_argument("--force", action="store_true", help="write what failed its proof too; the card says so")
    triton = parser.add_argument_group("a model repository for NVIDIA Triton Inference Server, of a bundle as it is")
    triton.add_argument(
        "--triton", type=Path, metavar="DIR", help="write it into DIR, which must be empty or not exist"
    )
    triton.add_argument(
        "--backend", choices=get_args(Backend), help="what runs both networks; tensorrt comes with a script that "
        "builds plans on the server's machine (default: onnxruntime)",
    )  # fmt: skip
    triton.add_argument("--precision", choices=get_args(Precision), help="which file of the bundle (default: fp32)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    try:
        if Path(args.source).suffix == ".pth":
            return _emonet(args)
        if args.triton:
            return _triton(args)
        if args.backend or args.precision:
            raise InputError("--backend and --precision belong to --triton DIR; add it, or leave them out")
        if args.device and not args.tensorrt:
            raise InputError("--device says what --tensorrt builds for; add --tensorrt, or leave it out")
        if args.faces < 0:
            raise InputError(f"--faces {args.faces}: give a number of faces, or 0 for all")
        wanted = Wanted(
            int8=args.int8 or args.int8_only,
            int8_only=args.int8_only,
            half=args.half,
            openvino=args.openvino,
            tensorrt=(args.device or "tensorrt") if args.tensorrt else "",
            data=tuple(args.data),
            faces=args.faces,
            keep_ranges=args.keep_ranges,
            limits=Limits(args.max_accuracy_drop, args.max_ccc_drop, args.min_speedup),
            force=args.force,
            exemplars=tuple(args.exemplars),
            temporal=args.temporal,
            opset=args.opset,
        )
        out = args.out or default_out(args.source, wanted)
        proofs, parity = share(args.source, args.share, out, wanted) if args.share else pack(args.source, out, wanted)
    except (ParityError, ProofError) as error:
        print(f"fer-export: nothing written: {error}", file=sys.stderr)
        return 3
    if parity:
        print(
            f"ONNX Runtime against torch on {parity.crops} crops, largest differences: probability "
            f"{parity.expression:.1e}, affect {parity.affect:.1e}, embedding {parity.embedding:.1e}"
        )
    if proofs:
        print("against fp32 on ONNX Runtime (speed with one thread / two):")
        print(table(proofs))
    for proof in proofs:
        for reason in proof.failures:
            print(f"fer-export: FORCED although {proof.artefact}: {reason}", file=sys.stderr)
        for remark in remarks(proof):
            print(f"note: {remark}")
    size = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    print(f"wrote {out} ({size:.1f} MB); try it: fer-run --model {out} --demo")
    return 0


def _emonet(args: argparse.Namespace) -> int:
    from mien_export.emonet import export_emonet

    if others := _given(args, "source", "out", "opset"):
        raise InputError(f"EmoNet's .pth becomes one ONNX file: leave out {others}")
    out = args.out or Path(args.source).with_suffix(".onnx")
    gap = export_emonet(Path(args.source), out, args.opset)
    print(f"{out}: EmoNet. ONNX Runtime against torch: at most {gap:.1e} of the largest output")
    return 0


def _triton(args: argparse.Namespace) -> int:
    from mien_export.triton.plans import SCRIPT
    from mien_export.triton.repository import write_repository

    if others := _given(args, "source", "triton", "backend", "precision"):
        raise InputError(f"--triton serves a bundle as it is: leave out {others}, or pack the bundle with them first")
    if Path(args.source).suffix == ".pt":
        raise InputError(f"--triton serves a bundle: pack {args.source} first (fer-export {args.source} -o DIR)")
    backend: Backend = args.backend or "onnxruntime"
    precision: Precision = args.precision or "fp32"
    bundle = write_repository(args.source, args.triton, backend=backend, precision=precision)
    print(f"wrote {args.triton}: {bundle.card.name} in {precision} for {backend}")
    if backend == "tensorrt":
        print(
            f"next, on the server's machine: {args.triton / SCRIPT} builds the plans, which Triton needs to load them"
        )
    return 0


def _given(args: argparse.Namespace, *but: str) -> str:
    """The options in ``args``, but for ``but``, that differ from their defaults: in words, empty for none."""
    defaults = vars(parse_args([]))
    others = [name for name, value in vars(args).items() if name not in but and value != defaults[name]]
    return ", ".join(f"--{name.replace('_', '-')}" for name in others)


def main() -> None:
    try:
        sys.exit(run(parse_args()))
    except MienError as error:
        print(f"fer-export: {error}", file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        print(f'fer-export: {error.name} is missing; run: pip install "mien[cpu,export,openvino]"', file=sys.stderr)
        print('fer-export: for checkpoints also: pip install "mien[train]"', file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
