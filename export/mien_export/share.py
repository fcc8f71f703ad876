"""Checkpoint -> a bundle that holds only a head, for the network of a packaged bundle: some 100 kB for more classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mien.bundle import FILES, HEAD, MODELS, Bundle, find_bundle
from mien.engines import Engine
from mien.engines.cores import processor
from mien.engines.golden import GOLDEN, golden_crops, golden_text
from mien.engines.selection import open_backend
from mien.errors import InputError
from mien.files import sha256
from mien_export.aside import aside
from mien_export.calibration_faces import read_faces
from mien_export.exemplars import write_exemplars
from mien_export.pack import MOST, Wanted, write_card
from mien_export.parity import Parity, compare
from mien_export.proof import Proof, ProofError, prove


def share(source: str | Path, name: str, out: Path, wanted: Wanted) -> tuple[list[Proof], Parity]:
    """Write the bundle ``out``: the head of the finished checkpoint ``source``, for the packaged bundle ``name``.

    The head on that bundle's network is compared with torch, and its INT8 with fp32, on the faces of ``wanted.data``.
    Valence and arousal, and their figures on the card, are the packaged bundle's own.
    ``wanted``: only ``data``, ``faces``, ``limits``, ``force`` and ``exemplars`` count. Raises InputError where the
    request does not fit, ModelNotFound or ModelInvalid; ParityError where the network is not the one that the head was
    trained on; ProofError where INT8 loses too much. Then nothing is written.
    """
    if Path(source).suffix != ".pt":
        raise InputError(f"--share takes the last layer of a checkpoint (.pt), and {source} is none")
    if wanted != Wanted(
        data=wanted.data,
        faces=wanted.faces,
        limits=wanted.limits,
        force=wanted.force,
        exemplars=wanted.exemplars,
    ):
        raise InputError("--share writes no model file: leave out --int8, --half, --openvino, --tensorrt and the like")
    from mien_export.checkpoint import head_of, load_deployed, run_torch

    model, card = load_deployed(Path(source))
    network = find_bundle(name)
    if network.folder.parent != MODELS or network.card.network:
        raise InputError(f"--share wants the name of a packaged bundle with a network of its own, and {name} is none")
    if (card.crop, card.embedding) != (network.card.crop, network.card.embedding):
        raise InputError(f"{source} takes other crops or gives another embedding than {name}, so they share no network")
    faces = read_faces(wanted.data, card.crop, wanted.faces, labels=card.labels)
    with aside(out) as folder:
        head_of(model).save(folder / HEAD)
        pinned = {"bundle": network.folder.name, "sha256": network.card.files[FILES["fp32"]]}
        metrics = {name: values for name, values in card.metrics.items() if "accuracy" in values}
        metrics |= {name: values for name, values in network.card.metrics.items() if "accuracy" not in values}
        files = {HEAD: sha256(folder / HEAD)}
        card = replace(card, network=pinned, metrics=metrics, files=files, proofs={})
        bundle = Bundle(folder, card)
        exact = open_backend(bundle, ("cpu", "fp32"), None)
        crops = faces.crops[:MOST]
        outputs = exact.run(crops)
        expression, _, embedding = run_torch(model, crops)
        parity = compare(
            (expression, outputs["affect"], embedding),
            (outputs["expression"], outputs["affect"], outputs["embedding"]),
        )
        (folder / GOLDEN).write_text(golden_text(exact.run(golden_crops(card.crop.size))), encoding="utf-8")
        if wanted.exemplars:
            write_exemplars(folder, card, exact, wanted.exemplars)
        proofs = []
        if network.card.proofs.get("int8", {}).get("passed"):

            def engines(threads: int) -> tuple[Engine, Engine]:
                return open_backend(bundle, ("cpu", "fp32"), threads), open_backend(bundle, ("cpu", "int8"), threads)

            size = network.card.proofs["int8"]["size"]
            proofs.append(prove("int8", engines, faces, size, wanted.limits, processor()))
        failed = [f"int8: {reason}" for proof in proofs for reason in proof.failures]
        if failed and not wanted.force:
            raise ProofError("; ".join(failed) + ". Give other faces or a looser limit; --force writes it anyway")
        write_card(folder, card, proofs)
    return proofs, parity
