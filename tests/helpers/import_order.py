"""Who may import whom: a package of packages, each of which imports only what stands before it."""

import ast
from pathlib import Path


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of all that a file imports; of a module ``a.b`` and its name ``c`` both ``a.b`` and ``a.b.c``."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def check_order(root: Path, packages: dict[str, list[str]]) -> None:
    """AssertionError where a module below ``root`` imports what stands beside or above it.

    ``packages``: the packages and single modules of ``root`` from the lowest up, and the modules of each package from
    the lowest up. A package itself (its ``__init__``) may import any of its modules.
    """
    order = list(packages)
    for path in root.rglob("*.py"):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name == "__init__":
            continue
        package, _, module = name.partition(".")
        remedy = "add it to the test and to docs/explanation/architecture.md"
        assert package in packages, f"{root.name}.{package} has no place: {remedy}"
        inside = packages[package]
        assert not module or module in inside, f"{root.name}.{name} has no place: add it to the test"
        for used in imports(path):
            target, _, part = used.removeprefix(f"{root.name}.").partition(".")
            if not used.startswith(f"{root.name}.") or target not in packages:
                continue
            if target != package:
                assert order.index(target) < order.index(package), f"{name} imports {used}"
            elif module and part in inside:
                assert inside.index(part) < inside.index(module), f"{name} imports {used}"
