"""The documentation: figures from the results, links that lead somewhere, all options, every public name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from code_blocks import PAGES, ROOT, without_blocks
from commands import COMMANDS, filled
from figures import FigureMissing, card_of, gain, interval, number, percent, points, render, spread
from linked_files import links, place
from readme import BEGIN, END, README, table

import mien

DOCS = ROOT / "docs"
SITE = [page for page in PAGES if page.is_relative_to(DOCS)]


@pytest.mark.parametrize("page", SITE, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_figure_is_there(page: Path) -> None:
    text = render(page.read_text(encoding="utf-8"), page.name)
    assert "{{" not in text
    assert "{%" not in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one\n{{ results.accuracy.lost }}", "line 2.*lost"),
        ("{{ results.nowhere.at_all }}", "line 1.*nowhere"),
        ("\n\n{{ pick(results.accuracy.rows, set='moon').accuracy }}", "line 3.*0 rows have"),
        ("{{ results.accuracy.machine | percent }}", "line 1"),
    ],
)
def test_a_figure_that_is_not_there_is_named_with_page_and_line(text: str, told: str) -> None:
    with pytest.raises(FigureMissing, match=f"page.md, {told}"):
        render(text, "page.md")


def test_figures_are_written_as_people_write_them() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert number(-0.284, 2) == "−0.28"
    assert percent(0.8572, 1) == f"85.7{space}%"
    assert [points(value) for value in (0.005, -0.0013, 0.0001)] == ["+0.5", "−0.1", "0.0"]
    assert interval([0.1, -0.5, 0.25], digits=2) == f"[−0.50,{space}0.25]"
    assert spread([0.6, 0.62, 0.64]) == "0.620 ± 0.020"
    assert gain([0.62, 0.63, 0.64], [0.60, 0.61, 0.62]) == f"+2.0 [2.0,{space}2.0]"


def test_the_table_of_the_readme_is_that_of_the_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0] == table(), "make readme"


def test_the_readme_stays_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert len(text.split()) <= 1200
    assert "```" in "".join(text.splitlines()[:15])


@pytest.mark.parametrize(
    "page", sorted({*PAGES, *ROOT.glob("*.md")}), ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_to_files(page: Path) -> None:
    text = without_blocks(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_links_out_of_the_pages_lead_to_copies_in_the_site() -> None:
    page = DOCS / "how-to/training.md"
    text = (
        "[a](../../train/mien_train/recipe.py) [b](../quickstart.md) [c](https://x.org/a.md)\n```\n[d](../../x)\n```\n"
    )
    assert [(target, place(file)) for target, file in links(page, text)] == [
        ("../../train/mien_train/recipe.py", "files/train/mien_train/recipe.py.txt")
    ]


def test_tests_that_the_table_of_faults_names_are_there() -> None:
    table = (ROOT / "benchmarks/results/faults.md").read_text(encoding="utf-8")
    there = {
        f"{path.name}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    named = set(re.findall(r"(test_\w+\.py::test_\w+)", table))
    assert named
    assert not named - there
    files = {path.as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    for file in set(re.findall(r"`([\w/]*test_\w+\.py)", table)):
        assert any(path.endswith(f"/{file}") for path in files), file


def test_options_of_all_commands_are_in_the_reference() -> None:
    page = filled((DOCS / "reference/commands.md").read_text(encoding="utf-8"))
    assert "%(" not in page, "argparse's words for defaults are filled in, whatever their format"
    assert "<!-- command" not in page
    for command, option in {
        "fer-run": "--exclude", "fer-enroll": "--max-loss", "fer-doctor": "--fresh", "fer-bench": "--plot",
        "fer-train": "--stop-below", "fer-export": "--keep-ranges",
    }.items():  # fmt: skip
        assert command in COMMANDS
        assert f"`{option}`" in page


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference/python.md").read_text(encoding="utf-8")
    names = set(re.findall(r"^::: mien\.(?:\w+\.)*(\w+)$", page, re.M))
    assert set(mien.__all__) <= names


def test_every_package_and_module_is_in_the_architecture() -> None:
    page = (DOCS / "explanation/architecture.md").read_text(encoding="utf-8")
    for base in ("runtime/mien", "train/mien_train", "export/mien_export"):
        for path in (ROOT / base).iterdir():
            if path.suffix == ".py" and path.stem != "__init__":
                assert f"`{path.stem}`" in page, path
            elif path.is_dir() and path.name != "__pycache__":
                assert f"`{path.name}/`" in page, path


def test_no_figure_of_accuracy_is_typed() -> None:
    """What the packaged student reaches is read: its accuracies as three digits stand nowhere in the pages."""
    metrics = card_of("student")["metrics"]
    typed = {f"{row['accuracy']:.3f}" for row in metrics.values() if "accuracy" in row}
    for page in SITE:
        assert not typed & set(re.findall(r"\b0\.\d{3}\b", page.read_text(encoding="utf-8"))), page
