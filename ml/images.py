"""The one decoder: bytes in, checked RGB pixels out, or a coded error.

Uploads are hostile until proven otherwise. The order of the checks matters: size of the file, signature,
structure (every chunk, segment and directory lies inside the file), dimensions, frames, bit depth and
colour mode, all before a single pixel is decoded. What passes is bounded in pixels, so decoding is cheap.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ml.formats import Header, ImageError, inspect

PATCH_SIDE = 50  # px; at the trained scale of about 4 um per pixel a patch shows about 200 um of tissue
PATCH_BYTES = PATCH_SIDE * PATCH_SIDE * 3
MIN_SIDE = 25
MAX_SIDE = 512
MAX_ASPECT = 1.5
MAX_BYTES = 10 * 1024 * 1024
MAX_PIXELS = 40_000_000
ORIENTATION_TAG = 0x0112
# Modes in which Pillow holds 8 bits a channel of grey or RGB, with the note that conversion earns.
MODES = {"RGB": "", "RGBX": "", "YCbCr": "", "L": "grey", "1": "one_bit", "P": "palette", "PA": "palette",
         "LA": "alpha", "La": "alpha", "RGBA": "alpha", "RGBa": "alpha"}  # fmt: skip

__all__ = ["PATCH_BYTES", "PATCH_SIDE", "DecodedPatch", "ImageError", "decode_patch", "encode_png", "from_bytes"]


@dataclass(frozen=True)
class DecodedPatch:
    """One patch as the model sees it.

    pixels: uint8 [50, 50, 3], RGB. width, height: of the source, in px, as it is to be viewed.
    notes: what was done on the way ("rescaled", "grey", "one_bit", "palette", "alpha", "rotated").
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    notes: tuple[str, ...] = ()

    SHAPE: ClassVar[tuple[int, int, int]] = (PATCH_SIDE, PATCH_SIDE, 3)

    def __post_init__(self) -> None:
        if self.pixels.shape != self.SHAPE or self.pixels.dtype != np.uint8:
            raise ValueError(f"A patch is uint8 {self.SHAPE}, not {self.pixels.dtype} {self.pixels.shape}.")

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the 7,500 bytes of pixels: the identity of a patch, whatever file it came in."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()


def decode_patch(content: bytes) -> DecodedPatch:
    """Decode an uploaded file.

    50x50 pixels are read as they are; sides of 25 to 512 px are resized to 50x50 and noted as "rescaled".
    Transparency is laid on white; an EXIF orientation is applied once.

    Raises:
        ImageError: with one of the codes of `ml.formats.MESSAGES`; never anything else.
    """
    if len(content) > MAX_BYTES:
        raise ImageError("too_large", megabytes=MAX_BYTES // 1024**2)
    try:
        header = inspect(content)
        _check_size(header)
        return _decode(content, header)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", megapixels=MAX_PIXELS // 10**6) from error
    # Pillow's plugins raise whatever their parsers meet (OSError, SyntaxError, struct.error, KeyError,
    # MemoryError ...): all of it means that the file is not what it claims to be.
    except Exception as error:
        raise ImageError("truncated" if "truncated" in str(error) else "corrupt") from error


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of the pixels alone: no text, no profile, no EXIF."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def from_bytes(content: bytes | memoryview) -> NDArray[np.uint8]:
    """The pixels of a stored patch, uint8 [50, 50, 3], of its PATCH_BYTES bytes. ValueError on any other number."""
    return np.frombuffer(content, np.uint8).reshape(DecodedPatch.SHAPE)


def _check_size(header: Header) -> None:
    width, height = header.width, header.height
    if min(width, height) <= 0:
        raise ImageError("corrupt")
    if width * height > MAX_PIXELS:
        raise ImageError("too_many_pixels", megapixels=MAX_PIXELS // 10**6)
    if header.frames > 1:
        raise ImageError("multi_frame")
    if header.bits_per_channel > 8 or not header.is_unsigned:
        raise ImageError("bit_depth")


def _check_patch_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise ImageError("too_large_for_patch", width=width, height=height, side=MAX_SIDE)
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError("dimensions", width=width, height=height, side=MIN_SIDE, aspect=MAX_ASPECT)


def _decode(content: bytes, header: Header) -> DecodedPatch:
    notes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is dropped here anyway
        with Image.open(io.BytesIO(content), formats=(header.format,)) as image:
            if image.mode.startswith(("I", "F")):
                raise ImageError("bit_depth")
            if image.mode not in MODES:
                raise ImageError("colour_mode", mode=image.mode)
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError("multi_frame")
            _check_patch_size(*image.size)
            image.load()
            has_alpha = image.has_transparency_data
            notes.append("alpha" if has_alpha else MODES[image.mode])
            upright = _upright(image)
            if upright is not image:
                notes.append("rotated")
            rgb = _on_white(upright) if has_alpha else upright.convert("RGB")
    width, height = rgb.size
    if (width, height) != (PATCH_SIDE, PATCH_SIDE):
        notes.append("rescaled")
        rgb = rgb.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BICUBIC)
    return DecodedPatch(
        pixels=np.asarray(rgb, np.uint8), width=width, height=height, notes=tuple(note for note in notes if note)
    )


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says, or the very same image.

    Unreadable EXIF is metadata like any other: it is dropped, and the pixels stand as they are stored.
    """
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return image
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")
