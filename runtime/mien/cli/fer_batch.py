"""``fer-batch``: an archive of pictures and videos into a folder of Parquet files, on all cores or a Ray cluster."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from typing import Any

from tqdm import tqdm

from mien.batch.cluster import HERE, check_address
from mien.batch.folder import Folder, check_options, known_options
from mien.batch.listing import find_inputs
from mien.batch.processes import Processes
from mien.batch.report import in_words, write_summary
from mien.batch.rows import arrow
from mien.batch.run import Progress, Run, Workers
from mien.batch.settings import Model, Settings, open_model
from mien.cli.model_options import add_model, add_recognition
from mien.cli.numbers import seconds, whole
from mien.cli.parser import Parser
from mien.cli.signals import Stopped, messages, stoppable
from mien.engines.cores import usable_cores
from mien.errors import EngineUnavailable, InputError, MienError, ModelInvalid, SourceError
from mien.terminal import failed, say, tell

MAX_WORKERS = 100_000
EXAMPLES = """examples:
  fer-batch archive/ -o results/                    all pictures and videos of a folder and its subfolders
  fer-batch 'talks/*.mp4' more.txt -o results/      a glob, and a file with a path or address a line
  find /data -name '*.jpg' | fer-batch - -o results/
  fer-batch s3://bucket/2026/ -o results/           a store (pip install s3fs; gs:// wants gcsfs)
  fer-batch archive/ -o results/ --retry-failed     read once more what failed
  fer-batch archive/ -o results/ --ray=auto         on the Ray cluster of this machine (pip install "mien[ray]")

The folder holds index.parquet (a row an input), faces/ (their faces, a file a video or group of pictures), summary.json
and summary.png. Started again with the same options it goes on: what is done is not read again.

exit codes: 0 success; 1 failed, or some inputs could not be read; 2 bad usage or input; 130 (Ctrl-C) or 143 (SIGTERM)
if stopped. What was done until then stays."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. Bad usage ends the program with code 2."""
    parser = Parser(
        prog="fer-batch",
        description="Read an archive of pictures and videos into a folder of Parquet files, in parallel.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="picture, video, folder, 'glob*', address such as s3://bucket/folder/, file with a source a line (.txt, "
        ".lst, .list), or - for such lines on standard input",
    )
    parser.add_argument("-o", "--out", metavar="RESULTS", required=True, help="folder for the results")
    parser.add_argument("--workers", metavar="N", type=_workers, help="workers that read (default: one a core)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        nargs="?",
        const=HERE,
        help="read on a Ray cluster: auto joins the running one, host:port or ray://host:port another; without an "
        "address, which then must come last, one is started on this machine",
    )
    parser.add_argument(
        "--gpus-per-worker", metavar="G", type=_gpus, default=0.0, help="GPUs of each worker of --ray, such as 0.5"
    )
    parser.add_argument("--retry-failed", action="store_true", help="read inputs that failed in earlier runs once more")
    parser.add_argument("--quiet", action="store_true", help="print only warnings and errors")
    how = parser.add_argument_group("how")
    add_model(how)
    add_recognition(how)
    how.add_argument(
        "--segment",
        metavar="MINUTES",
        type=_minutes,
        default=Settings.segment_s / 60,
        help="read longer videos in segments of so many minutes, several at once; 0 for never (default: %(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"mien {version('mien')}")
    args = parser.parse_args(argv)
    if args.gpus_per_worker and not args.ray:
        parser.error("--gpus-per-worker is for --ray")
    if "" in (args.out, args.personal):
        parser.error("--out and --personal need a name, but one is empty")
    return args


def work() -> int:
    """Parse the options and run. Returns the exit code."""
    return run(parse_args())


def run(args: argparse.Namespace) -> int:
    """Read the archive. Returns the exit code; errors are printed on stderr."""
    begun = False
    with messages("fer-batch"), stoppable() as stop:
        try:
            with stop.at_once():
                arrow()
                known = known_options(args.out)
                model = open_model(_settings(args), known)
                if known is not None:
                    check_options(args.out, known, model.told)
                inputs = find_inputs(args.sources, args.out)
                with ExitStack() as stack:
                    cluster = _cluster(args, model, stack) if args.ray else None
                    folder = Folder(args.out, model.told)
                    stack.callback(folder.close)
                    task = Run(folder, model, inputs, retry=args.retry_failed)
                    begun = True
                    return _work(args, task, folder, model, cluster)
        except Stopped:
            if begun:
                tell("fer-batch: stopped; start the same command again to go on")
            return 128 + stop.signal
        except MienError as error:
            failed("fer-batch", error)
            usage = (SourceError, InputError, EngineUnavailable, ModelInvalid)
            return 2 if not begun or isinstance(error, usage) else 1


def _work(args: argparse.Namespace, task: Run, folder: Folder, model: Model, cluster: Workers | None) -> int:
    out = (lambda _: None) if args.quiet else say
    if task.changed:
        tell(
            f"fer-batch: warning: {len(task.changed)} inputs have changed since they were read, such as "
            f"{task.changed[0]}; their results stay as they are (use another folder to read them anew)"
        )
    if task.skipped:
        out(f"{task.skipped:,} inputs were read before")
    if task.pieces:
        start, engine = time.monotonic(), f"{model.told['device']} {model.told['precision']}"
        count = args.workers or max(1, int(usable_cores()))
        workers: Workers = cluster or Processes(model, min(count, task.progress.inputs))
        with closing(workers), _bar(args, task) as tell_progress:
            out(f"{task.progress.inputs:,} inputs to read, by {workers.told}, with {engine}")
            task.work(workers, tell_progress)
        out(f"read {task.progress.done:,} inputs in {time.monotonic() - start:.1f} s")
    else:
        folder.save_index()
    found = write_summary(folder.path, list(folder.rows.values()))
    out(in_words(found))
    out(f"written: {folder.path.absolute()}")
    if found["failed"]:
        tell(
            f"fer-batch: error: {found['failed']} of {found['inputs']} inputs failed, for example: "
            f"{next(iter(found['errors'].values()))}; index.parquet lists all"
        )
        return 1
    return 0


def _cluster(args: argparse.Namespace, model: Model, stack: ExitStack) -> Workers:
    from mien.batch.cluster import Cluster

    cluster = Cluster(model, check_address(args.ray), args.workers, args.gpus_per_worker)
    stack.callback(cluster.close)
    return cluster


@contextmanager
def _bar(args: argparse.Namespace, task: Run) -> Iterator[Any]:
    """A progress bar over the bytes of the inputs, by which it tells the time that is left."""
    hidden = args.quiet or None  # tqdm's None: no bar unless stderr is a terminal
    with tqdm(total=round(task.progress.total), unit="B", unit_scale=True, disable=hidden) as bar:

        def update(progress: Progress) -> None:
            lost = f", {progress.failed} failed" if progress.failed else ""
            bar.set_postfix_str(f"{progress.done:,} of {progress.inputs:,} inputs{lost}", refresh=False)
            bar.update(round(progress.weight) - bar.n)

        yield update


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        args.model,
        args.device,
        args.precision,
        args.min_face,
        args.min_confidence,
        tuple(args.exclude),
        args.personal,
        args.smoothing,
        args.temporal,
        60 * args.segment,
    )


def _workers(text: str) -> int:
    return whole(text, 1, MAX_WORKERS, f"a whole number from 1 to {MAX_WORKERS}")


def _gpus(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GPUs from 0 to 64")
    return value


def _minutes(text: str) -> float:
    value = seconds(text)
    if 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} minutes are too short; use 0, or at least 1")
    return value
