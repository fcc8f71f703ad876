"""The parser of the programs that take addresses, which may hold passwords."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from mien.sources.privacy import without_secrets


class Parser(argparse.ArgumentParser):
    """A parser whose messages about bad usage hide passwords."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        for word in sorted(self._given, key=len, reverse=True):
            message = message.replace(word, without_secrets(word))
        super().error(without_secrets(message))
