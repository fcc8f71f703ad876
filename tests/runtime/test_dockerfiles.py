"""What matters of the container files, as far as reading them can tell: no container engine is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "Dockerfile.jetson")


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, argument) of each line, without comments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = (line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line.strip())
    return [(word.upper(), " ".join(rest[0].split()) if rest else "") for word, *rest in lines]


def last_stage(name: str) -> list[tuple[str, str]]:
    found = instructions(name)
    start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def values(name: str, word: str) -> list[str]:
    return [argument for found, argument in last_stage(name) if found == word]


def installs(name: str) -> list[str]:
    """What each pip install of the last stage is told."""
    commands = " && ".join(values(name, "RUN"))
    return re.findall(r"pip3? install (.*?)(?= && |$)", commands)


@pytest.mark.parametrize("name", FILES)
def test_it_does_not_run_as_root(name: str) -> None:
    users = values(name, "USER")
    assert users
    assert users[-1].split(":")[0] not in ("root", "0")
    assert f"--uid {users[-1]} " in " ".join(values(name, "RUN"))
    words = [word for word, _ in last_stage(name)]
    assert "RUN" not in words[words.index("USER") :]  # what comes after could not write anyway


@pytest.mark.parametrize("name", FILES)
def test_its_health_is_the_doctors_word(name: str) -> None:
    (health,) = values(name, "HEALTHCHECK")
    assert '["fer-doctor"' in health
    assert "--timeout=" in health
    (entry,) = values(name, "ENTRYPOINT")
    assert entry.startswith('["fer-run"')
    assert all(f"{command} = " in (ROOT / "pyproject.toml").read_text() for command in ("fer-run", "fer-doctor"))


@pytest.mark.parametrize("name", FILES)
def test_the_wheel_is_built_apart(name: str) -> None:
    stages = [argument for word, argument in instructions(name) if word == "FROM"]
    assert stages[0].endswith(" AS wheel")
    assert not [argument for word, argument in last_stage(name) if word == "COPY"]  # no sources in the image


def test_each_jetpack_is_one_stage_that_holds_all_its_versions() -> None:
    found = instructions("Dockerfile.jetson")
    assert ("ARG", "JETPACK=6") in found
    assert values("Dockerfile.jetson", "FROM") == ["jetpack-${JETPACK}"]
    bases = {argument: found[i + 1] for i, (word, argument) in enumerate(found) if word == "FROM"}
    table = {
        "nvcr.io/nvidia/l4t-jetpack:r36.4.0 AS jetpack-6": ("r36.4", "cuda-bindings>=12.9,<12.10"),
        "nvcr.io/nvidia/cuda:13.0.0-tensorrt-devel-ubuntu24.04 AS jetpack-7": ("r38.4", "cuda-bindings>=13,<13.1"),
    }
    page = (ROOT / "docs/how-to/jetson-tensorrt.md").read_text(encoding="utf-8")
    for stage, (packages, bindings) in table.items():
        word, told = bases[stage]
        assert word == "ENV"
        assert f"JETSON_PACKAGES={packages} " in told
        assert f'CUDA_BINDINGS="{bindings}"' in told
        assert '<2"' in told.split("NUMPY=")[1]  # JetPack's OpenCV is older than numpy 2
        assert stage.split()[0] in page
        assert bindings in page


def test_the_jetson_keeps_its_own_libraries() -> None:
    told = installs("Dockerfile.jetson")
    for command in told:
        assert not re.search(r"opencv|onnxruntime|tensorrt|\bpycuda", command), command
    assert any("/wheels/mien" in command for command in told)
    (block,) = re.findall(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert not re.search(r"opencv|onnxruntime|tensorrt", block)  # or pip would lay its own over JetPack's
    packages = " ".join(values("Dockerfile.jetson", "RUN"))
    assert "libopencv-python" in packages
    assert "python3-opencv" not in packages
    assert "CAP_GSTREAMER" in packages


def test_no_plan_is_made_where_the_image_is_built() -> None:
    commands = " ".join(values("Dockerfile.jetson", "RUN"))
    assert not re.search(r"fer-|trtexec|plan", commands)
    assert values("Dockerfile.jetson", "VOLUME") == ["/var/cache/mien"]
    assert "MIEN_CACHE=/var/cache/mien" in values("Dockerfile.jetson", "ENV")


def test_the_build_sees_only_what_the_wheel_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    passed = {rule[1:] for rule in rules if rule.startswith("!")}
    project = (ROOT / "pyproject.toml").read_text()
    wheel = project.split("[tool.hatch.build.targets.wheel]")[1].split("\n[")[0]
    (packages,) = re.findall(r"^packages = \[(.*)\]$", wheel, re.MULTILINE)
    needed = {Path(package).parts[0] for package in re.findall(r'"([^"]+)"', packages)}
    assert passed == needed | {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in passed)
    assert "runtime/mien/models/yunet" in rules
