"""A checkpoint or a bundle -> a bundle with the requested artifacts, each with its proof; or nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mien.bundle import FILES, IR_FILES, Bundle, find_bundle
from mien.bundle.card import CARD, ModelCard, read_card
from mien.engines import Engine, load_engine
from mien.engines.cores import int8_overflows, processor
from mien.engines.golden import GOLDEN, golden_crops, golden_text
from mien.errors import InputError
from mien.files import sha256
from mien_export.aside import aside
from mien_export.calibration_faces import LIMIT, FaceCrops, read_faces
from mien_export.exemplars import write_exemplars
from mien_export.model_card import FILE, model_card
from mien_export.parity import Parity, compare
from mien_export.proof import Limits, Proof, ProofError, prove

MOST = 512
"""Faces on which ranges are measured, and as many others on which they are chosen."""
TOLERANCE = {"fp16": 0.01, "openvino fp32": 1e-3}
"""Largest difference of a probability from fp32 on ONNX Runtime, beyond which a file is wrong and not just imprecise.
In float16 the packaged student differs by 0.0001 on average, and by more than 0.005 on one face of 9130."""

OVERFLOW = "This processor has no VNNI, so OpenVINO's int8 overflows on it: pack this form on one that has"


@dataclass(frozen=True)
class Wanted:
    """``int8_only``: INT8 (which ``int8`` asks for) without the fp32 file that it was made from and proven against.
    ``tensorrt``: device to build plans for, tensorrt, dla:0 or dla:1. ``data``: sources of faces
    (calibration_faces.py), at most ``faces`` of them. ``keep_ranges``: quantize with the ranges of the bundle, so that
    all data are used for the proof. ``force``: also write artifacts that failed their proof; the card says so.
    ``exemplars``: sources of faces with known expressions, which enrollment compares with. ``temporal``: an encoder of
    ``fer-train temporal``."""

    int8: bool = False
    int8_only: bool = False
    half: bool = False
    openvino: bool = False
    tensorrt: str = ""
    data: tuple[str, ...] = ()
    faces: int = LIMIT
    keep_ranges: bool = False
    limits: Limits = field(default_factory=Limits)
    force: bool = False
    exemplars: tuple[str, ...] = ()
    temporal: Path | None = None
    opset: int = 18


def pack(source: str | Path, out: Path, wanted: Wanted) -> tuple[list[Proof], Parity | None]:
    """Write the bundle ``out`` from a finished checkpoint (.pt), a bundle's folder or a packaged name.

    It is made in another folder and then moved, so a failure leaves nothing half-written. Raises InputError,
    ModelNotFound, ModelInvalid or OutputError; ParityError where ONNX Runtime and torch disagree; ProofError where an
    artifact does not meet its limits.
    """
    if wanted.keep_ranges and Path(source).suffix == ".pt":
        raise InputError("--keep-ranges: a checkpoint has no ranges yet; leave it out, or give a bundle")
    if wanted.int8_only and not wanted.int8:
        raise InputError("--int8-only keeps nothing but INT8: add --int8")
    if wanted.int8_only and (wanted.half or wanted.openvino or wanted.tensorrt):
        raise InputError("--int8-only keeps nothing but INT8: leave out --half, --openvino and --tensorrt")
    if wanted.opset != Wanted.opset and wanted.temporal is None and Path(source).suffix != ".pt":
        raise InputError("--opset: a bundle keeps the opset that it has; leave it out, or export its checkpoint")
    with aside(out) as folder:
        parity = None
        if Path(source).suffix == ".pt":
            card, faces, parity = _from_checkpoint(Path(source), folder, wanted)
        else:
            card = _from_bundle(find_bundle(source), folder, wanted)
            faces = read_faces(wanted.data, card.crop, wanted.faces, labels=card.labels)
        faces = _ranges(folder, faces, wanted, fresh=parity is not None)
        exact = load_engine(folder / FILES["fp32"], device="cpu")
        (folder / GOLDEN).write_text(golden_text(exact.run(golden_crops(card.crop.size))), encoding="utf-8")
        if wanted.exemplars:
            write_exemplars(folder, card, exact, wanted.exemplars)
        if wanted.temporal:
            from mien_export.temporal import add_temporal

            card = replace(card, temporal=add_temporal(wanted.temporal, folder, wanted.opset))
        proofs = _artifacts(folder, faces, wanted)
        failed = [f"{proof.artefact}: {reason}" for proof in proofs for reason in proof.failures]
        if failed and not wanted.force:
            openvino = any(reason.startswith("openvino int8") for reason in failed)
            raise ProofError(
                "; ".join(failed)
                + ". Try --data with more or other faces, or a looser limit; --force writes it anyway"
                + (f". {OVERFLOW}" if openvino and int8_overflows() else "")
            )
        if wanted.int8_only:
            _leave_int8(folder)
            card = replace(card, proofs={})
        write_card(folder, card, proofs)
    return proofs, parity


def write_card(folder: Path, card: ModelCard, proofs: list[Proof]) -> None:
    """Write the card of the bundle in ``folder``, as JSON and in words, with the files that are there and the proofs
    that were made of them, beside those that the card has."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name not in (CARD, FILE)}
    made = {proof.artefact: replace(proof, forced=not proof.passed).to_dict() for proof in proofs}
    card = replace(card, files=files, proofs={**card.proofs, **made})
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    (folder / FILE).write_text(model_card(card), encoding="utf-8")
    read_card(folder)


def _from_checkpoint(path: Path, folder: Path, wanted: Wanted) -> tuple[ModelCard, FaceCrops, Parity]:
    from mien_export.checkpoint import load_deployed, run_torch, write_onnx

    model, card = load_deployed(path)
    faces = read_faces(wanted.data, card.crop, wanted.faces, labels=card.labels)
    file = folder / FILES["fp32"]
    write_onnx(model, card, file, wanted.opset)
    crops = faces.crops[:MOST]
    outputs = load_engine(file, device="cpu").run(crops)
    return (
        card,
        faces,
        compare(run_torch(model, crops), (outputs["expression"], outputs["affect"], outputs["embedding"])),
    )


def _from_bundle(bundle: Bundle, folder: Path, wanted: Wanted) -> ModelCard:
    """Copy the fp32 file of a bundle, and all other files that are not made anew."""
    bundle.model_file("fp32")
    remade = {
        "int8": wanted.int8,
        "fp16": wanted.half,
        "openvino fp32": wanted.openvino,
        "openvino int8": wanted.int8 or wanted.openvino,  # another INT8 file makes its old IR stale
    }
    anew = [artifact for artifact, asked in remade.items() if asked]
    names = {file for artifact in anew for file in _files(artifact)}
    for name in bundle.card.files:
        if name not in names:
            shutil.copyfile(bundle.verified(name), folder / name)
    # "tensorrt int8" and "dla:0 int8" tell of the INT8 file too: of the old one.
    kept = {k: v for k, v in bundle.card.proofs.items() if k not in anew and k.split()[-1] not in anew}
    return replace(bundle.card, proofs=kept)


def _files(artifact: str) -> list[str]:
    if artifact.startswith("openvino "):
        name = IR_FILES[artifact.removeprefix("openvino ")]
        return [name, str(Path(name).with_suffix(".bin"))]
    return [FILES[artifact.split()[-1]]]


def _ranges(folder: Path, faces: FaceCrops, wanted: Wanted, *, fresh: bool) -> FaceCrops:
    """Measure calibration ranges if they are needed, and return the faces that were not used for this."""
    from mien_export.quantize import best_ranges
    from mien_export.ranges import RANGES

    file = folder / RANGES
    if wanted.keep_ranges:
        if not file.is_file():
            raise InputError("--keep-ranges: this bundle has no calibration ranges; leave it out to measure them")
        return faces
    # On the user's faces if there are any; otherwise a bundle's own ranges are better than those of a portrait.
    measured_on_data = bool(wanted.data) and (wanted.int8 or fresh)
    if not measured_on_data and not (wanted.int8 and not file.is_file()):
        return faces
    fifth = np.arange(len(faces)) % 5
    measured, compared, rest = faces.take(fifth == 0), faces.take(fifth == 1), faces.take(fifth > 1)
    if not (len(measured) and len(compared) and len(rest)):
        raise InputError(f"{len(faces)} faces are too few for calibration and proof; give at least ten with --data")
    ranges = best_ranges(folder / FILES["fp32"], measured.crops[:MOST], compared.crops[:MOST], faces.origin)
    file.write_text(ranges.to_json(), encoding="utf-8")
    return rest


def _leave_int8(folder: Path) -> None:
    """Remove all other forms, and what only serves to quantize."""
    from mien_export.ranges import RANGES

    others = ("fp32", "fp16", "openvino fp32", "openvino int8")
    for name in (RANGES, *(file for form in others for file in _files(form))):
        (folder / name).unlink(missing_ok=True)


def _artifacts(folder: Path, faces: FaceCrops, wanted: Wanted) -> list[Proof]:
    fp32 = folder / FILES["fp32"]
    artifacts: list[tuple[str, Path, str]] = []
    if wanted.int8:
        from mien_export.quantize import quantize
        from mien_export.ranges import RANGES, read_ranges

        quantize(fp32, read_ranges(folder / RANGES), folder / FILES["int8"])
        artifacts.append(("int8", folder / FILES["int8"], "cpu"))
    if wanted.half:
        from mien_export.fp16 import write_half

        write_half(fp32, folder / FILES["fp16"])
        artifacts.append(("fp16", folder / FILES["fp16"], "cpu"))
    if wanted.openvino:
        from mien_export.openvino_ir import write_ir

        for precision, name in IR_FILES.items():
            if (folder / FILES[precision]).is_file():
                write_ir(folder / FILES[precision], folder / name)
                artifacts.append((f"openvino {precision}", folder / name, "openvino"))
    if wanted.tensorrt:
        # The plans are built into this machine's cache as they are opened, where the runtime finds them.
        available = [precision for precision, name in FILES.items() if (folder / name).is_file()]
        available = [precision for precision in available if wanted.tensorrt == "tensorrt" or precision != "fp32"]
        if not available:
            raise InputError(f"{wanted.tensorrt} computes in fp16 or int8: add --half or --int8")
        artifacts += [
            (f"{wanted.tensorrt} {precision}", folder / FILES[precision], wanted.tensorrt) for precision in available
        ]
    return [_proof(name, path, device, fp32, faces, wanted.limits) for name, path, device in artifacts]


def _proof(name: str, path: Path, device: str, fp32: Path, faces: FaceCrops, limits: Limits) -> Proof:
    def engines(threads: int) -> tuple[Engine, Engine]:
        precision = name.split()[-1]
        other = load_engine(path, device=device, threads=threads, precision=precision)
        return load_engine(fp32, device="cpu", threads=threads), other

    size = sum((path.parent / file).stat().st_size for file in _files(name)) / fp32.stat().st_size
    proof = prove(name, engines, faces, round(size, 4), limits, processor())
    allowed = TOLERANCE.get(name)
    if allowed is not None and not proof.probability_max <= allowed:
        reason = f"a probability differs by {proof.probability_max:.4f}, more than {allowed:g}"
        proof = replace(proof, failures=[*proof.failures, reason])
    return proof


def default_out(source: str | Path, wanted: Wanted) -> Path:
    """The folder to write if none was given: the bundle's name and what is made, in the current folder."""
    name = Path(source).stem if Path(source).suffix == ".pt" else find_bundle(source).card.name
    asked = {"int8": wanted.int8, "fp16": wanted.half, "openvino": wanted.openvino, "tensorrt": wanted.tensorrt}
    return Path("-".join([name, *(kind for kind, wanted_too in asked.items() if wanted_too)]))
