"""The still format of a file, by its first bytes; by its suffix only if a format has no signature."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HEAD = 4096
"""Number of first bytes of a file that show its format."""


@dataclass(frozen=True)
class Kind:
    """A still format. ``suffixes``: of its files. ``remedy``: what to do with one that is not supported, empty if it is
    supported. ``sign``: tells whether a file starts like one, None if only the suffix shows it."""

    name: str
    suffixes: tuple[str, ...]
    remedy: str = ""
    sign: Callable[[bytes], bool] | None = None


def still_kind(head: bytes, suffix: str) -> Kind | None:
    """The still format of a file, or None: it may be a video, a GIF, or nothing.

    Args:
        head: Its first ``HEAD`` bytes.
        suffix: The suffix of its name. Raw MJPEG starts like a JPEG, but is a video.
    """
    suffix = suffix.lower()
    if suffix in MOVING:
        return None
    for kind in KINDS:
        if kind.sign and kind.sign(head):
            return kind
    return next((kind for kind in KINDS if suffix in kind.suffixes), None)


def kind_of_file(path: Path) -> Kind | None:
    """``still_kind`` of a file; by its suffix only if it cannot be read, or is a pipe or device."""
    head = b""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD)
    return still_kind(head, path.suffix)


def brands(head: bytes) -> set[bytes]:
    """The brands of a file that consists of boxes (AVIF, HEIC, MP4, CR3); empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[8 : max(int.from_bytes(head[:4], "big"), 12)]
    return {box[:4]} | {box[i : i + 4] for i in range(8, len(box) - 3, 4)}


def _starts(*signs: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signs)


def _at(place: int, *signs: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[place:].startswith(signs)


def _bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and 12 <= int.from_bytes(head[14:18], "little") < 256


def _tiff(head: bytes) -> bool:
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _raw(head: bytes) -> bool:
    """Camera raw formats with a signature; others are TIFF files and recognized by their tags."""
    signs = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FUJIFILMCCD-RAW", b"FOVb", b"II\x1a\0\0\0HEAPCCDR")
    return head.startswith(signs) or (_tiff(head) and head[8:10] == b"CR") or b"crx " in brands(head)


def _svg(head: bytes) -> bool:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text)


def _xbm(head: bytes) -> bool:
    return head.startswith(b"#define ") and b"_width " in head[:200]


MOVING = (".gif", ".mjpeg", ".mjpg")
HEIF = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"msf1", b"avci", b"avcs", b"vvic"}
CONVERT = "convert it to JPEG or PNG"

JPEG = Kind("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), sign=_starts(b"\xff\xd8\xff"))
PNG = Kind("PNG", (".png", ".apng"), sign=_starts(b"\x89PNG\r\n\x1a\n"))
WEBP = Kind("WebP", (".webp",), sign=lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP")
AVIF = Kind("AVIF", (".avif", ".avifs"), sign=lambda head: bool(brands(head) & {b"avif", b"avis"}))
HEIC = Kind("HEIC", (".heic", ".heif", ".hif"), sign=lambda head: bool(brands(head) & HEIF))
TIFF = Kind("TIFF", (".tif", ".tiff"), sign=_tiff)
BMP = Kind(
    "BMP", (".bmp", ".dib"), sign=lambda head: head[:2] == b"BM" and 12 <= int.from_bytes(head[14:18], "little") < 256
)
JPEG_2000 = Kind(
    "JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpx"), sign=_starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
)
PNM = Kind(
    "PNM",
    (".ppm", ".pgm", ".pbm", ".pnm", ".pam"),
    sign=lambda head: head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"),
)
RAW = Kind(
    "camera raw",
    (".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".pef", ".raf", ".3fr",
     ".iiq", ".srw", ".erf", ".kdc", ".dcr", ".mrw", ".x3f"),
    "develop it with the camera's program, darktable or RawTherapee, and save it as JPEG",
    _raw,
)  # fmt: skip

KINDS = (
    RAW,
    Kind("JPEG-LS", (".jls",), CONVERT, _starts(b"\xff\xd8\xff\xf7")),
    JPEG, PNG, WEBP, AVIF, HEIC, TIFF, BMP, JPEG_2000, PNM,
    Kind("JPEG XL", (".jxl",), f"{CONVERT}: djxl picture.jxl picture.png", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    Kind("JPEG XR", (".jxr", ".wdp", ".hdp"), CONVERT, _starts(b"II\xbc")),
    Kind("Photoshop", (".psd", ".psb"), CONVERT, _starts(b"8BPS")),
    Kind("GIMP", (".xcf",), CONVERT, _starts(b"gimp xcf")),
    Kind("PDF", (".pdf",), "export its page as PNG: pdftoppm -png -r 150 file.pdf page", _starts(b"%PDF")),
    Kind("PostScript", (".eps",), CONVERT, _starts(b"%!PS", b"\xc5\xd0\xd3\xc6")),
    Kind("SVG", (".svg", ".svgz"), "draw it as PNG: rsvg-convert drawing.svg -o drawing.png", _svg),
    Kind("icon", (".ico", ".cur"), CONVERT, lambda head: head[:4] in (b"\0\0\1\0", b"\0\0\2\0") and head[5:6] == b"\0"),
    Kind("icon", (".icns",), CONVERT, _starts(b"icns")),
    Kind("OpenEXR", (".exr",), CONVERT, _starts(b"\x76\x2f\x31\x01")),
    Kind("Radiance HDR", (".hdr",), CONVERT, _starts(b"#?RADIANCE", b"#?RGBE")),
    Kind("float map", (".pfm", ".phm"), CONVERT,
         lambda head: head[:2] in (b"PF", b"Pf", b"PH", b"Ph") and head[2:3].isspace()),
    Kind("DPX", (".dpx",), CONVERT, _starts(b"SDPX", b"XPDS")),
    Kind("Cineon", (".cin",), CONVERT, _starts(b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80")),
    Kind("FITS", (".fits", ".fit", ".fts"), CONVERT, _starts(b"SIMPLE  =")),
    Kind("DICOM", (".dcm", ".dicom"), CONVERT, _at(128, b"DICM")),
    Kind("DDS", (".dds",), CONVERT, _starts(b"DDS ")),
    Kind("KTX", (".ktx", ".ktx2"), CONVERT, _starts(b"\xabKTX ")),
    Kind("QOI", (".qoi",), CONVERT, _starts(b"qoif")),
    Kind("farbfeld", (".ff",), CONVERT, _starts(b"farbfeld")),
    Kind("FLIF", (".flif",), CONVERT, _starts(b"FLIF")),
    Kind("BPG", (".bpg",), CONVERT, _starts(b"BPG\xfb")),
    Kind("DjVu", (".djvu", ".djv"), CONVERT, _starts(b"AT&TFORM")),
    Kind("MNG", (".mng", ".jng"), CONVERT, _starts(b"\x8aMNG", b"\x8bJNG")),
    Kind("IFF picture", (".iff", ".lbm", ".ilbm"), CONVERT,
         lambda head: head[:4] == b"FORM" and head[8:12] in (b"ILBM", b"PBM ", b"ACBM", b"RGB8", b"RGBN")),
    Kind("metafile", (".wmf", ".emf"), CONVERT,
         lambda head: head[:4] == b"\xd7\xcd\xc6\x9a" or (head[:4] == b"\1\0\0\0" and head[40:44] == b" EMF")),
    Kind("Sun raster", (".ras", ".sun"), CONVERT, _starts(b"\x59\xa6\x6a\x95")),
    Kind("SGI picture", (".sgi",), CONVERT,
         lambda head: head[:2] == b"\x01\xda" and head[2:3] in b"\0\1" and head[3:4] in b"\1\2"),
    Kind("PCX", (".pcx",), CONVERT,
         lambda head: head[:1] == b"\x0a" and head[1:2] in b"\0\2\3\4\5" and head[2:3] in b"\0\1"),
    Kind("XPM", (".xpm",), CONVERT, _starts(b"/* XPM */")),
    Kind("XBM", (".xbm",), CONVERT, _xbm),
    Kind("X window dump", (".xwd",), CONVERT, lambda head: head[:2] == b"\0\0" and head[4:8] == b"\0\0\0\7"),
    Kind("PICT", (".pict", ".pct"), CONVERT, _at(522, b"\0\x11\2\xff\x0c\0", b"\x11\1")),
    Kind("Photo CD", (".pcd",), CONVERT, _at(2048, b"PCD_IPI")),
    Kind("Targa", (".tga", ".icb", ".vda", ".vst"), CONVERT),
    Kind("picture", (".wbmp", ".pgx", ".pix", ".pgmyuv", ".vicar", ".viff"), CONVERT),
)  # fmt: skip
READ = tuple(kind for kind in KINDS if not kind.remedy)
SUFFIXES = tuple(suffix for kind in READ for suffix in kind.suffixes)
"""Suffixes of pictures in a folder."""
