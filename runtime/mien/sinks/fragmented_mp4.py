"""An MP4 or MOV file that plays at any time while it grows.

OpenCV's own file plays only once it is closed, because its index comes last. Here the video is encoded in short pieces,
and each is appended to the file as a fragment (ISO/IEC 14496-12, 8.8). At the end one index of everything is added and
the fragments are declared to be plain data, so that any player can seek; nothing is copied for that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from mien.errors import OutputError
from mien.files import write_all
from mien.sinks.mp4_boxes import Piece, box, find, runs, table

SYNC, DEPENDENT = 0x02000000, 0x01010000
"""Flags of a sample that can be decoded on its own, and of one that cannot."""
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
FREE_BYTES = 16
"""Bytes reserved before the fragments, for the header that declares them to be data."""


class GrowingMovie:
    """Appends fragments to the file ``path``. OutputError if they cannot be written.

    Frames have their own times or follow each other at ``fps``, which also determines how long the last one is shown.
    """

    def __init__(self, path: Path, fps: float):
        self._path = path
        self._quicktime = path.suffix.lower() == ".mov"
        rate = Fraction(fps).limit_denominator(1001)
        fine = -(-12800 // rate.numerator)
        self._scale, self._step = rate.numerator * fine, rate.denominator * fine
        self._first: Piece | None = None
        self._frames = self._next = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from error

    def append(self, piece: Piece, times: Sequence[float] | None = None) -> None:
        """Append a piece. ``times``: when its frames are shown, in s since the first frame, in display order."""
        data = b""
        if self._first is None:
            self._first = piece
            brand = b"qt  " if self._quicktime else b"isom"
            data = box(b"ftyp", brand, struct.pack(">I", 512), brand, b"iso2iso6mp41")
            data += box(b"free", bytes(FREE_BYTES - 8)) + self._header([], [])
        ticks = self._ticks(times, len(piece.samples))
        lasting = [after - tick for tick, after in pairwise([*ticks, self._next])]
        # Samples are decoded at the times at which frames are shown, and shown according to their rank.
        shown = [i * self._step + shift * self._scale for i, shift in enumerate(piece.shifts)]
        ranks = {sample: rank for rank, sample in enumerate(sorted(range(len(shown)), key=shown.__getitem__))}
        rows = zip(lasting, piece.samples, piece.sync, strict=True)
        run = b"".join(
            struct.pack(">IIIi", length, len(sample), SYNC if sync else DEPENDENT, ticks[ranks[i]] - ticks[i])
            for i, (length, sample, sync) in enumerate(rows)
        )
        time = struct.pack(">IQ", 0x01000000, ticks[0])

        def fragment(offset: int) -> bytes:
            head = struct.pack(">IIi", 0x01000F01, len(piece.samples), offset)
            track = [box(b"tfhd", struct.pack(">II", 0x020000, 1)), box(b"tfdt", time), box(b"trun", head, run)]
            number = struct.pack(">II", 0, self._frames + 1)
            return box(b"moof", box(b"mfhd", number), box(b"traf", *track))

        head = data + fragment(len(fragment(0)) + 8)
        space = bytes(-(len(head) + 8 + sum(map(len, piece.samples))) % 8)
        self._write(head + box(b"mdat", *piece.samples, space))
        self._frames += len(piece.samples)

    def _ticks(self, times: Sequence[float] | None, count: int) -> list[int]:
        """Times in the file's units. They increase, whatever is given; ``_next`` is the one that would follow."""
        ticks, last = [], self._next - self._step
        for i in range(count):
            last = max(round(times[i] * self._scale), last + 1, 0) if times else last + self._step
            ticks.append(last)
        self._next = last + self._step
        return ticks

    def close(self) -> None:
        """Add the index of all fragments. It is read from the file, to keep no week of samples in memory."""
        if self._file < 0:
            return
        try:
            if self._first is not None:
                start, samples, chunks, end = self._scan()
                self._write(self._header(samples, chunks))
                os.lseek(self._file, start, os.SEEK_SET)
                write_all(self._file, struct.pack(">I4sQ", 1, b"mdat", end - start))
        except OSError as error:
            raise OutputError(f"cannot finish {self._path}: {error.strerror}; it plays, but may not seek") from error
        finally:
            os.close(self._file)
            self._file = -1

    def _write(self, data: bytes) -> None:
        """Append boxes, making the first one valid last: a reader that finds half a box may give up on the file.

        A process can be killed between two memory pages, but not within 8 bytes that start at a multiple of 8.
        """
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            write_all(self._file, struct.pack(">I4s", len(data), b"free") + data[8:] if end else data)
            if end:
                os.lseek(self._file, end, os.SEEK_SET)
                write_all(self._file, data[:8])
        except OSError as error:
            os.ftruncate(self._file, end)
            raise OutputError(f"cannot write {self._path}: {error.strerror}; free some space") from error

    def _scan(self) -> tuple[int, list[tuple[int, int, int, int]], list[tuple[int, int]], int]:
        """The position of the free space; duration, size, flags and shift of all samples; position and number of
        samples of each fragment; the end of the file."""
        end, place, start = os.lseek(self._file, 0, os.SEEK_END), 0, 0
        samples: list[tuple[int, int, int, int]] = []
        after = 0
        chunks: list[tuple[int, int]] = []
        while place < end:
            os.lseek(self._file, place, os.SEEK_SET)
            size, kind = struct.unpack(">I4s", os.read(self._file, 8))
            if kind == b"free":
                start = place
            elif kind == b"moof":
                track = find(os.read(self._file, size - 8), b"traf")
                found = list(struct.iter_unpack(">IIIi", find(track, b"trun")[12:]))
                begins = struct.unpack_from(">Q", find(track, b"tfdt"), 4)[0]
                if samples:  # when a fragment is written, it is not known how long its last frame will be shown
                    samples[-1] = (samples[-1][0] + begins - after, *samples[-1][1:])
                samples += found
                after = begins + sum(length for length, *_ in found)
                chunks.append((place + size + 8, len(found)))
            place += size
        return start, samples, chunks, end

    def _header(self, samples: Sequence[tuple[int, int, int, int]], chunks: Sequence[tuple[int, int]]) -> bytes:
        """The box ``moov``: without samples that of a fragmented file, otherwise with the index of all samples."""
        assert self._first is not None
        (width, height), length, count = self._first.size, sum(length for length, *_ in samples), len(samples)
        tables = [
            self._first.stsd,
            table(b"stts", runs(length for length, *_ in samples)),
            table(b"stsc", [(i + 1, number, 1) for i, (_, number) in enumerate(chunks)]),
            box(b"stsz", struct.pack(">III", 0, 0, count), *(struct.pack(">I", size) for _, size, *_ in samples)),
            table(b"co64", [(place >> 32, place & 0xFFFFFFFF) for place, _ in chunks]),
            table(b"stss", [(i + 1,) for i, (*_, flags, _) in enumerate(samples) if flags == SYNC]),
            table(b"ctts", runs(shift for *_, shift in samples), 1),
        ]
        if not count:
            tables = tables[:-2]  # an empty table of sync samples would mean that there are none
        link = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 1))))
        media = [
            box(b"mdhd", struct.pack(">IQQIQHH", 0x01000000, 0, 0, self._scale, length, 0x55C4, 0)),
            box(
                b"hdlr",
                struct.pack(">I4s4s12s", 0, b"mhlr" if self._quicktime else b"", b"vide", b""),
                b"VideoHandler\0",
            ),
            box(b"minf", box(b"vmhd", struct.pack(">IQ", 1, 0)), link, box(b"stbl", *tables)),
        ]
        shape = struct.pack(">8x4H", 0, 0, 0, 0) + MATRIX + struct.pack(">II", width << 16, height << 16)
        track = [
            box(b"tkhd", struct.pack(">IQQIIQ", 0x01000003, 0, 0, 1, 0, length), shape),
            box(b"mdia", *media),
        ]
        rest = struct.pack(">IH10x", 0x10000, 0x100) + MATRIX + struct.pack(">24xI", 2)
        movie = [box(b"mvhd", struct.pack(">IQQIQ", 0x01000000, 0, 0, self._scale, length), rest)]
        movie.append(box(b"trak", *track))
        if not count:
            movie.append(box(b"mvex", box(b"trex", struct.pack(">6I", 0, 1, 1, self._step, 0, 0))))
        return box(b"moov", *movie)
