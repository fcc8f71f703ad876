"""Writes the page of a command from its argparse parser, when the site is built."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from unittest.mock import patch

COMMANDS = {
    "fer-run": "mien.cli.options",
    "fer-batch": "mien.cli.fer_batch",
    "fer-enroll": "mien.cli.enroll",
    "fer-doctor": "mien.cli.doctor",
    "fer-bench": "mien.bench",
    "fer-train": "mien_train.cli",
    "fer-export": "mien_export.cli",
}
MARK = re.compile(r"^<!-- command: (\S+) -->$", re.M)


class _Caught(Exception):
    """Carries a parser out of the ``parse_args`` of a command."""


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser that ``command`` reads its options with, complete."""

    def catch(self: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        raise _Caught(self)

    module = import_module(COMMANDS[command])
    with patch.multiple(argparse.ArgumentParser, parse_args=catch, parse_intermixed_args=catch):
        try:
            module.parse_args([])
        except _Caught as caught:
            parser: argparse.ArgumentParser = caught.args[0]
            return parser
    raise RuntimeError(f"{command} asks no parser for its options")


def page_of(parser: argparse.ArgumentParser, level: int = 3) -> str:
    """The options of ``parser`` as Markdown: a table for each group, then its commands."""
    lines = [parser.description or "", ""]
    for group in sorted(parser._action_groups, key=lambda group: group.title == "options"):  # --version comes last
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        commands = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
        for action in commands:
            lines += _commands(action, level)
        rows = [action for action in actions if action not in commands and not isinstance(action, argparse._HelpAction)]
        if rows:
            lines += ["", f"**{(group.title or 'options').capitalize()}**", "", "| option | |", "|---|---|"]
            lines += [f"| {_name(action)} | {_help(action, parser.prog)} |" for action in rows]
    if parser.epilog:
        lines += ["", "```text", parser.epilog.strip(), "```"]
    return "\n".join(lines)


def _commands(action: Any, level: int) -> Iterator[str]:
    about = {choice.dest: choice.help for choice in action._choices_actions}
    for name, parser in action.choices.items():
        yield from ("", f"{'#' * level} {parser.prog}", "", f"{(about.get(name) or '').capitalize()}.")
        yield page_of(parser, level + 1)


def _name(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    shown = " ".join(value) if isinstance(value, tuple) else str(value)
    if not action.option_strings:
        return f"`{shown}`"
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    return names if action.nargs == 0 else f"{names} `{shown}`".replace("|", "\\|")


def _help(action: argparse.Action, prog: str) -> str:
    text = (action.help or "") % {**vars(action), "prog": prog}
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return f"{text}{'; ' if text else ''}one of {choices}" if choices else text


def filled(markdown: str) -> str:
    """``markdown`` with the page of a command in place of each mark."""
    return MARK.sub(lambda mark: page_of(parser_of(mark[1])), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for each page."""
    return filled(markdown)
