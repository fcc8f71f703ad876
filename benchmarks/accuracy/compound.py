"""A student that learned the compounds of CFEE, after its export: against torch, and INT8 against float32.

    make compound FACES=FACES
    python -m benchmarks.accuracy.compound runs/compound/continual.pt runs/compound-bundle --data FACES

The people of ``cfee/test`` are in no training, and all classes compete there. On the other sets ``accuracy`` is over
the classes that occur there, while ``same label`` is over all. Writes ``benchmarks/results/compound.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.precisions import row
from benchmarks.common import TEST_SETS, add_data, add_out, command_parser, heading, write_report
from mien.bundle import find_bundle
from mien.engines import load_engine
from mien.types import EXPRESSIONS, Floats
from mien_export.calibration_faces import FaceCrops, read_faces
from mien_export.checkpoint import load_deployed, run_torch
from mien_export.parity import compare
from mien_export.proof import outputs

POSED = "cfee/test"
PARITY = 500
"""Faces of each set, at most."""
FORMS = (("cpu", "fp32"), ("cpu", "int8"))


def main() -> None:
    parser = command_parser("accuracy.compound", __doc__)
    parser.add_argument("checkpoint", type=Path, help="of fer-train continual, finished")
    parser.add_argument("bundle", help="exported from it, with INT8 beside float32")
    add_data(parser)
    add_out(parser, "compound.json")
    parser.add_argument("--faces", type=int, default=1500, help="of each set, evenly spread; 0: all (default: 1500)")
    args = parser.parse_args()
    bundle = find_bundle(args.bundle)
    model, card = load_deployed(args.checkpoint)
    faces = {
        name: read_faces([str(args.data / f"{name}-*.parquet")], card.crop, args.faces, labels=card.labels)
        for name in (POSED, *TEST_SETS)
    }
    paths = {form: bundle.model_file(form[1], form[0]) for form in FORMS}
    engines = {form: load_engine(path, device=form[0]) for form, path in paths.items()}
    exact = engines[FORMS[0]]
    parity = {}
    for name, part in faces.items():
        crops = part.crops[:: -(-len(part) // PARITY)]
        ran = exact.run(crops)
        gaps = compare(run_torch(model, crops), (ran["expression"], ran["affect"], ran["embedding"]))
        parity[name] = {
            "faces": gaps.crops,
            "probability, largest": float(f"{gaps.expression:.1e}"),
            "affect, largest": float(f"{gaps.affect:.1e}"),
        }
    reference = {name: outputs(exact, part.crops) for name, part in faces.items()}
    forms = []
    for form, path in paths.items():
        made = row(form, path, paths[FORMS[0]], faces, reference)
        probabilities = outputs(engines[form], faces[POSED].crops)[0]
        forms.append({**made, POSED: {**made[POSED], **by_kind(probabilities, faces[POSED], card.labels)}})
    command = f"{parser.prog} {args.checkpoint} {args.bundle} --data FACES --faces {args.faces}"
    report = {
        **heading(command, "onnxruntime", "torch"),
        "model": bundle.card.name,
        "classes": list(card.labels),
        "against torch": parity,
        "forms": forms,
    }
    write_report(args.out, report)
    print(f"against torch: {parity}", *forms, sep="\n")


def by_kind(probabilities: Floats, part: FaceCrops, labels: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy on compound and on basic faces, and the mean of the two."""
    known = part.expression >= 0
    right = probabilities[known].argmax(1) == part.expression[known]
    basic: NDArray[np.bool_] = np.isin(part.expression[known], [labels.index(e) for e in EXPRESSIONS if e in labels])
    compound, plain = float(right[~basic].mean()), float(right[basic].mean())
    return {
        "compound": round(compound, 4),
        "compound faces": int((~basic).sum()),
        "basic": round(plain, 4),
        "basic faces": int(basic.sum()),
        "balanced": round((compound + plain) / 2, 4),
    }


if __name__ == "__main__":
    main()
