"""``python -m mien.cli`` is ``fer-run``."""

from mien.cli.programs import fer_run

fer_run()
