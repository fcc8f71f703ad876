"""Checks a frame from the caller: an array as OpenCV returns it, a Pillow picture, or an error that says what it is."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import cv2
import numpy as np

from mien.errors import InputError
from mien.types import Image

TENSORS = ("torch", "tensorflow", "jax", "jaxlib", "cupy", "mlx")


def check_frame(frame: object) -> Image:
    """The frame as uint8 BGR (H, W, 3), or InputError with the problem and how to fix it.

    A Pillow picture is converted according to its mode, and a ``cv2.UMat`` is downloaded, because their content is
    known. Nothing else is converted: only the caller knows what an array holds.
    """
    plain = isinstance(frame, np.ndarray)
    homes = [] if plain else [kind.__module__.partition(".")[0] for kind in type(frame).__mro__]
    if "PIL" in homes and hasattr(frame, "mode"):
        return _from_pillow(frame)
    if isinstance(frame, (str, bytes, os.PathLike)):
        raise InputError(
            f"frame is {_named(frame)}; read the file with open_source(path) or cv2.imread(path), and pass its frames"
        )
    home = next((name for name in homes if name in TENSORS), None)
    if home:
        raise InputError(
            f"frame is a {home} tensor, whose order of colors is not known; give a numpy array, uint8 (height, width, "
            "3) BGR: from RGB (3, H, W) that is tensor.permute(1, 2, 0)[..., [2, 1, 0]].cpu().numpy()"
        )
    if isinstance(frame, cv2.UMat):
        frame = frame.get()
    try:
        image = np.asarray(frame)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"frame is not a regular array: {error}; give uint8 (height, width, 3) BGR") from error
    if image.dtype == object:
        hint = "cv2.imread and VideoCapture.read return None when they fail: check the path or camera"
        if frame is not None:
            hint = "give uint8 (height, width, 3) BGR, as a numpy array"
        raise InputError(f"frame is {_named(frame)}, not a picture; {hint}")
    if image.dtype != np.uint8:
        raise InputError(f"frame has dtype {image.dtype}, expected uint8; {_to_8_bits(image)}")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = _to_3_channels(image.shape)
        raise InputError(f"frame has shape {image.shape}, expected (height, width, 3) BGR; {hint}".rstrip("; "))
    if 0 in image.shape:
        raise InputError(f"frame is empty: its shape is {image.shape}")
    return image


def _from_pillow(picture: Any) -> Image:
    """A Pillow picture as BGR, converted according to its mode; transparent parts become white."""
    mode, turned = picture.mode, 1
    with suppress(Exception):  # the EXIF data may be damaged
        turned = picture.getexif().get(0x0112, 1)
    if turned in range(2, 9):
        raise InputError(
            f"frame is a Pillow picture that must be turned for display (EXIF orientation {turned}); "
            "give PIL.ImageOps.exif_transpose(picture), so that boxes fit it"
        )
    transparent = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in getattr(picture, "info", {})
    try:
        if mode in ("I;16", "I;16L", "I;16B", "I;16N"):
            gray = cv2.convertScaleAbs(np.asarray(picture).astype(np.uint16), alpha=1 / 257)
            return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        if transparent and mode in ("RGBA", "LA", "PA", "RGBa", "La", "P", "L", "RGB", "1"):
            if mode in ("La", "PA"):
                picture = picture.convert("LA" if mode == "La" else "RGBA")
            pixels = np.asarray(picture.convert("RGBA"))
            cover = pixels[..., 3:].astype(np.uint16)
            image = ((pixels[..., 2::-1] * cover + 255 * (255 - cover) + 127) // 255).astype(np.uint8)
        elif mode in ("RGB", "RGBX", "L", "P", "1", "CMYK", "YCbCr", "HSV"):
            image = np.asarray(picture.convert("RGB"))[..., ::-1]
        else:
            raise InputError(
                f"frame is a Pillow picture of mode {mode}, whose colors or white value are not known here; give "
                'picture.convert("RGB") if that is right'
            )
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"frame is a Pillow picture that cannot be decoded: {error}") from error
    return check_frame(np.ascontiguousarray(image))


def _named(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) < 80 else f"of the type {type(value).__name__}"


def _to_8_bits(image: np.ndarray) -> str:
    if image.dtype.kind == "f":
        return "scale it to 0..255 and use .astype('uint8')"
    if image.dtype == np.uint16:
        return "scale it so that white becomes 255 (divide by 257 if white is 65535), and use .astype('uint8')"
    if image.dtype == np.bool_:
        return "use frame.astype('uint8') * 255"
    return "convert it to 8 bits; .astype('uint8') is right only if no value is above 255"


def _to_3_channels(shape: tuple[int, ...]) -> str:
    """A hint about what an array of another shape may be."""
    if len(shape) == 2 or shape[2:] == (1,):
        return (
            "for gray use cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR); for NV12 and I420, which have one and a half times "
            "the height, cv2.COLOR_YUV2BGR_NV12 and cv2.COLOR_YUV2BGR_I420"
        )
    if len(shape) == 4 and shape[3] == 3:
        return "give the frames of a batch to predict_batch"
    if len(shape) == 3 and shape[2] == 4:
        return "for four channels use cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR), or cv2.COLOR_RGBA2BGR"
    if len(shape) == 3 and shape[2] == 2:
        return "for YUV 4:2:2 use cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_YUY2), or cv2.COLOR_YUV2BGR_UYVY"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "if the channels come first, use frame.transpose(1, 2, 0), and [..., ::-1] if they are RGB"
    return ""
