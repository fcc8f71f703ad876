"""PBM, PGM, PPM and PAM, which are read here because OpenCV ignores the value that they declare to be white."""

from __future__ import annotations

import re

import numpy as np

from mien.sources.stills.layout import CUT_OFF, Layout, Unreadable, damaged, unknown

SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
HEADER = re.compile(rb"P([1-6])" + SPACE + rb"([0-9]{1,9})" + SPACE + rb"([0-9]{1,9})")
WHITE = re.compile(SPACE + rb"([0-9]{1,5})")
PAM = re.compile(rb"P7\s(.*?)\bENDHDR\s", re.DOTALL)
ARBITRARY = re.compile(rb"^\s*(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+([0-9]{1,9})\s*$", re.MULTILINE)


def pnm_layout(data: bytes) -> Layout:
    """Size, white value and channels of a file. Raises Unreadable if the header is damaged, or for channels other than
    gray or colors, with or without alpha."""
    return _header(data)[0]


def pnm_pixels(data: bytes) -> np.ndarray:
    """Gray (H, W) or BGR(A) (H, W, C) with 8 or 16 bits, not scaled. Raises Unreadable if the file is cut off."""
    layout, channels, text, start = _header(data)
    (width, height), white = layout.size, layout.white
    one_bit = data[1:2] in b"14"
    values: np.ndarray
    if start > len(data):
        raise Unreadable(CUT_OFF)
    if text:
        body = re.sub(rb"#[^\n\r]*", b"", data[start:])
        if re.search(rb"[^0-9\s]", body):
            raise damaged("there is something other than numbers in place of its pixels")
        written = list(body.translate(None, b" \t\r\n\v\f")) if one_bit else [int(word[-6:]) for word in body.split()]
        values = np.array(written, dtype=np.int64) - (ord("0") if one_bit else 0)
    elif one_bit:
        row = -(-width // 8)
        packed = np.frombuffer(data, np.uint8, min(row * height, len(data) - start), start)
        if packed.size < row * height:
            raise Unreadable(CUT_OFF)
        values = np.unpackbits(packed.reshape(height, row), axis=1, count=width).ravel()
    else:
        form = np.dtype(">u2" if white > 255 else "u1")
        values = np.frombuffer(data[start : start + width * height * channels * form.itemsize], np.uint8)
        values = values[: values.size // form.itemsize * form.itemsize].view(form)
    if values.size < width * height * channels:
        raise Unreadable(CUT_OFF)
    values = values[: width * height * channels]
    if values.size and (int(values.max()) > white or int(values.min()) < 0):
        raise damaged(f"it holds values above {white}")
    if one_bit:
        values = 1 - values
    image = values.astype(np.uint16 if white > 255 else np.uint8).reshape(height, width, channels)
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    return np.ascontiguousarray(image[..., order] if channels > 1 else image[..., 0])


def _header(data: bytes) -> tuple[Layout, int, bool, int]:
    """The layout, the number of channels, whether the values are text, and where they start."""
    if data.startswith(b"P7"):
        found = PAM.match(data[:10_000])
        numbers = {name: int(value) for name, value in ARBITRARY.findall(found[1])} if found else {}
        if not found or len(numbers) < 4:
            raise damaged("its header is not whole")
        channels, white = numbers[b"DEPTH"], numbers[b"MAXVAL"]
        size, text, start = (numbers[b"WIDTH"], numbers[b"HEIGHT"]), False, found.end()
        if not 1 <= channels <= 4:
            raise unknown(f"has {channels} channels")
    else:
        match = HEADER.match(data)
        if not match:
            raise damaged("its header is not whole")
        kind, size, end = int(match[1]), (int(match[2]), int(match[3])), match.end()
        found = WHITE.match(data, end) if kind not in (1, 4) else None
        if found is None and kind not in (1, 4):
            raise damaged("its header is not whole")
        channels, text = 3 if kind in (3, 6) else 1, kind < 4
        white, start = (int(found[1]), found.end() + 1) if found else (1, end + 1)
    if not 1 <= white <= 65535 or 0 in size:
        raise damaged(f"it claims {size[0]}x{size[1]} px with a white value of {white}")
    return Layout(data, size, white=white), channels, text, start
