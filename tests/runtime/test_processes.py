"""A recognizer in other processes: after a fork, through a pickle, and its copies."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mien.engines import has_library, load_engine
from mien.recognizer import Recognizer
from mien.sources.factory import open_source
from mien.types import Face, Image

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
CHILD = """
import os, sys
import numpy as np
from mien import Recognizer

device, bundle, picture = sys.argv[1:]
pair = np.load(picture)
recognizer = Recognizer(bundle, device=device, threads=2)


def read():
    with recognizer.stream() as stream:
        return [len(stream.update(pair, i / 25)) for i in range(3)] + [len(recognizer.predict(pair))]


told = read()
child = os.fork()
if child == 0:
    assert read() == told, "another count"
    sys.exit(7)  # with all of Python's own ending, as a server's worker has it
_, status = os.waitpid(child, 0)
print(told, os.waitstatus_to_exitcode(status))
"""
POOL = """
import multiprocessing, sys
import numpy as np
from mien import Recognizer


def read(work):
    recognizer, picture = work
    return [(face.expression.label, face.box.round(1).tolist()) for face in recognizer.predict(picture)]


if __name__ == "__main__":
    method, bundle, picture = sys.argv[1:]
    work = Recognizer(bundle, device="cpu", threads=2), np.load(picture)
    told = read(work)
    with multiprocessing.get_context(method).Pool(2) as pool:
        print(*(answer == told for answer in pool.map(read, [work] * 2)))
"""


@pytest.fixture(scope="module")
def pair(portrait: Image) -> Image:
    face = portrait[:300, 100:400]
    return np.ascontiguousarray(np.hstack([face, face]))


def said(faces: Sequence[Face]) -> list[object]:
    return [(face.expression.label, round(face.expression.confidence, 5), face.box.round(2).tolist()) for face in faces]


@forks
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_forked_process_reads_two_faces_and_ends(tiny_bundle: Path, pair: Image, tmp_path: Path, device: str) -> None:
    if not has_library(device):
        pytest.skip(f"no library of {device}")
    np.save(tmp_path / "pair.npy", pair)
    command = [sys.executable, "-c", CHILD, device, str(tiny_bundle), str(tmp_path / "pair.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1:] == ["[2, 2, 2, 2] 7"], done.stderr


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & {*multiprocessing.get_all_start_methods()}))
def test_a_recognizer_goes_into_a_pool(tiny_bundle: Path, pair: Image, tmp_path: Path, method: str) -> None:
    np.save(tmp_path / "pair.npy", pair)
    (tmp_path / "pool.py").write_text(POOL)
    command = [sys.executable, str(tmp_path / "pool.py"), method, str(tiny_bundle), str(tmp_path / "pair.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True True\n", done.stderr


def test_a_pickle_is_made_of_the_arguments(tiny_bundle: Path, pair: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_bundle.parent)
    recognizer = Recognizer(tiny_bundle.name, device="cpu", threads=1, min_face=20, min_confidence=0.999)
    kept = pickle.dumps(recognizer)
    assert len(kept) < 20_000
    monkeypatch.chdir("/")
    again = pickle.loads(kept)
    assert again.engine == recognizer.engine
    assert said(again.predict(pair)) == said(recognizer.predict(pair))
    assert again.predict(pair)[0].expression.label == "uncertain"


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_copies_share_the_model_and_not_what_they_learn(tiny_bundle: Path, pair: Image, make: object) -> None:
    recognizer = Recognizer(tiny_bundle, device="cpu", threads=1)
    other = make(recognizer)  # type: ignore[operator]
    assert said(other.predict(pair)) == said(recognizer.predict(pair))
    assert other._model.engine is recognizer._model.engine
    assert other._learning is not recognizer._learning


@pytest.mark.parametrize("make", [copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_a_stream_goes_on_as_a_copy(tiny_bundle: Path, pair: Image, make: object) -> None:
    stream = Recognizer(tiny_bundle, device="cpu", threads=2).stream()
    for i in range(3):
        stream.update(pair, i / 25)
    other = make(stream)  # type: ignore[operator]
    assert said(other.update(pair, 0.2)) == said(stream.update(pair, 0.2))
    assert {face.track_id for face in other.update(pair, 0.3)} == {1, 2}


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_engines_can_be_pickled(tiny_bundle: Path, device: str) -> None:
    if not has_library(device):
        pytest.skip(f"no library of {device}")
    engine = load_engine(tiny_bundle / "model.onnx", device=device, threads=1)
    again = pickle.loads(pickle.dumps(engine))
    assert again.name == engine.name
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    try:
        told = engine.run(crops)
    except Exception:  # the tiny model's own size
        crops = np.zeros((2, 32, 32, 3), np.uint8)
        told = engine.run(crops)
    for name, values in again.run(crops).items():
        np.testing.assert_allclose(values, told[name], atol=1e-6)


SOURCE = """
import os, sys
from mien.errors import SourceError
from mien.sources.factory import open_source

path, loop, begun = sys.argv[1], sys.argv[2] == "loop", sys.argv[3] == "begun"
source = open_source(path, loop=loop)
frames = iter(source)
if begun:
    next(frames)
child = os.fork()
if child == 0:
    try:
        next(frames)
    except SourceError as error:
        assert "opened before this process was forked" in str(error), error
        source.close()
        sys.exit(7)
    sys.exit(1)
_, status = os.waitpid(child, 0)
next(frames)
source.close()
print(os.waitstatus_to_exitcode(status))
"""


@forks
@pytest.mark.parametrize("begun", ["begun", "opened"])
@pytest.mark.parametrize("loop", ["loop", "once"])
def test_a_source_is_read_by_the_process_that_opened_it(
    tmp_path: Path, make_clip: Callable[..., Path], loop: str, begun: str
) -> None:
    """A forked one waited for ever for the thread that decodes."""
    clip = make_clip(tmp_path / "a.mp4")
    command = [sys.executable, "-c", SOURCE, str(clip), loop, begun]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout == "7\n"


def test_an_open_source_says_that_it_is_not_pickled(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    with open_source(make_clip(tmp_path / "a.mp4")) as source:
        for work in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="open it in the process that reads it"):
                work(source)
        assert sum(1 for _ in source) > 1
