"""Fills in the figures of a page from benchmarks/results/*.json and the packaged model's card, when the site is built.

A page writes ``{{ results.install.packages.mien["environment MB"] | number }}``; the templates are Jinja's. A figure
that is not there stops the build, with the page and line that asked for it.
"""

from __future__ import annotations

import json
import statistics
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"
MODELS = ROOT / "runtime/mien/models"
PUBLISHED = RESULTS.parent / "accuracy/published.toml"
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Quantiles of Student's t for 95 % by the number of seeds."""


class FigureMissing(Exception):
    """A page asks for a figure that no result holds."""


class Results(Mapping[str, Any]):
    """The result files by name, each read when a page asks for it."""

    def __init__(self, folder: Path = RESULTS):
        self._folder = folder
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        path = self._folder / f"{name}.json"
        if name not in self._read:
            if not path.is_file():
                raise KeyError(name)
            self._read[name] = json.loads(path.read_text(encoding="utf-8"))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self._folder.glob("*.json")))

    def __len__(self) -> int:
        return len(list(self._folder.glob("*.json")))


def pick(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> Mapping[str, Any]:
    """The one row that has these values."""
    found = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    if len(found) != 1:
        raise FigureMissing(f"{len(found)} rows have {wanted}, and one was expected")
    return found[0]


def number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def fixed(value: float) -> str:
    """An accuracy, a concordance: three digits."""
    return number(value, 3)


def percent(value: float, digits: int = 0) -> str:
    return f"{number(100 * value, digits)}\N{NO-BREAK SPACE}%"


def points(value: float, digits: int = 1) -> str:
    """A difference of two accuracies in points, with its sign."""
    shown = f"{100 * value:+.{digits}f}".replace("-", "−")
    return shown.lstrip("+−") if float(shown.replace("−", "-")) == 0 else shown


def interval(ends: Sequence[float], scale: float = 1, digits: int = 3) -> str:
    low, high = ends[-2:]
    return f"[{number(scale * low, digits)},\N{NO-BREAK SPACE}{number(scale * high, digits)}]"


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of several seeds."""
    return f"{fixed(statistics.fmean(values))} ± {fixed(statistics.stdev(values))}"


def gain(more: Sequence[float], less: Sequence[float]) -> str:
    """Points gained over the same seeds, with the 95 % interval that Student's t gives."""
    differences = [100 * (a - b) for a, b in zip(more, less, strict=True)]
    middle = statistics.fmean(differences)
    half = T_95[len(differences)] * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{points(middle / 100)} {interval((middle - half, middle + half), digits=1)}"


def card_of(model: str) -> dict[str, Any]:
    """The card of a packaged model."""
    card: dict[str, Any] = json.loads((MODELS / model / "card.json").read_text(encoding="utf-8"))
    return card


def render(text: str, page: str, results: Mapping[str, Any] | None = None) -> str:
    """``text`` with its figures. FigureMissing, naming ``page`` and line, where one is not there."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        comment_start_string="{##",  # {#name} is the name of a heading
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in (number, fixed, percent, points, interval, spread):
        environment.filters[name.__name__] = name
    environment.globals.update(
        results=Results() if results is None else results,
        card=card_of("student"),
        smaller=card_of("xs"),
        published=tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))["figure"],
        pick=pick,
        gain=gain,
    )
    try:
        return environment.from_string(text).render()
    except (jinja2.TemplateError, FigureMissing, LookupError, TypeError, ValueError) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else "?")
        raise FigureMissing(f"{page}, line {line}: {error}; the figures are in benchmarks/results") from error


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls this for each page. Only pages of this folder are templates, not the files that they link to."""
    from mkdocs.exceptions import PluginError

    if Path(page.file.abs_src_path or "").is_relative_to(ROOT / "docs"):
        try:
            return render(markdown, page.file.src_uri)
        except FigureMissing as error:
            raise PluginError(str(error)) from error
    return markdown
