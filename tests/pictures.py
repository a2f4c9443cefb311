"""Image files for tests: good ones, and every bad one that the site must refuse."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from ml.synthetic import draw_patch


def picture(width: int = 50, height: int = 50, mode: str = "RGB", seed: int = 7) -> Image.Image:
    drawn = Image.fromarray(draw_patch(seed, cellularity=0.5))
    return drawn.resize((width, height)).convert(mode)


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(width: int = 50, height: int = 50, mode: str = "RGB", seed: int = 7) -> bytes:
    return save(picture(width, height, mode, seed), "PNG")


def jpeg(**options: Any) -> bytes:
    return save(picture(), "JPEG", quality=95, **options)


def jpeg_beginning_with(content: bytes) -> bytes:
    """A JPEG with `content` behind the marker that it begins with."""
    whole = jpeg()
    return whole[:2] + content + whole[2:]


def scanless_jpeg() -> bytes:
    """A JPEG as far as the header of its scan."""
    whole = jpeg()
    start = whole.index(b"\xff\xda") + 2
    return whole[: start + int.from_bytes(whole[start : start + 2], "big")]


def tiff(**options: Any) -> bytes:
    return save(picture(), "TIFF", **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_with(*extra: bytes) -> bytes:
    """A good 50x50 PNG with more chunks before its pixels."""
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(picture()))
    return raw_png(50, 50, 8, 2, rows, *extra)


def bomb_png() -> bytes:
    """30,000 x 30,000 pixels of one bit in about 110 kB."""
    return raw_png(30_000, 30_000, 1, 0, b"\0" * (30_000 * (1 + 30_000 // 8)))


def text_bomb(kind: bytes) -> bytes:
    packed = zlib.compress(b"\0" * 50_000_000, 9)
    body = {b"zTXt": b"Comment\0\0", b"iCCP": b"icc\0\0", b"iTXt": b"Comment\0\1\0\0\0"}[kind] + packed
    return png_with(chunk(kind, body))


def deep_png(colour: int) -> bytes:
    """16 bits a channel: grey (0) or RGB (2)."""
    channels = 1 if colour == 0 else 3
    return raw_png(50, 50, 16, colour, (b"\0" + b"\x12\x34" * 50 * channels) * 50)


def deep_tiff() -> bytes:
    """16 bits a channel of RGB, which Pillow cannot write: one directory, one strip."""
    strip = b"\x34\x12" * (50 * 50 * 3)
    tags = {256: (50,), 257: (50,), 258: (16, 16, 16), 259: (1,), 262: (2,), 273: (0,), 277: (3,), 278: (50,)}
    tags |= {279: (len(strip),)}
    depth_at = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, values in tags.items():
        value = {258: depth_at, 273: depth_at + 6}.get(tag, values[0])
        entries += struct.pack("<HHII", tag, 3 if tag == 258 else 4, len(values), value)
    header = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return header + entries + struct.pack("<I", 0) + struct.pack("<HHH", *tags[258]) + strip


def apng() -> bytes:
    return save(picture(), "PNG", save_all=True, append_images=[picture(seed=8)])


def pages_tiff() -> bytes:
    return tiff(save_all=True, append_images=[picture(seed=8)])


def fax_tiff() -> bytes:
    """13,000 x 13,000 pixels in a few kB."""
    return save(Image.new("1", (13_000, 13_000)), "TIFF", compression="group4")


def looping_tiff() -> bytes:
    """Its directory names itself as the next."""
    content = bytearray(tiff())
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    return bytes(content)


def stray_tiff() -> bytes:
    """Its first directory lies far outside."""
    content = bytearray(tiff())
    struct.pack_into("<I", content, 4, 0x7FFFFFF0)
    return bytes(content)


def mpo() -> bytes:
    return save(picture(), "MPO", save_all=True, append_images=[picture(seed=8)])


def personal_png() -> bytes:
    """Says a name in every place where a PNG can say one, and carries a script behind its end."""
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", "JANE DOE")
    text.add_itxt("Comment", "JANE DOE", zip=True)
    exif = Image.Exif()
    exif[0x013B] = "JANE DOE"
    exif.get_ifd(0x8825)[1] = "N"
    content = save(picture(), "PNG", pnginfo=text, exif=exif, icc_profile=b"broken profile of JANE DOE")
    return content + b"<script>alert('JANE DOE')</script>"


def personal_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x013B] = "JANE DOE"
    return jpeg(exif=exif, comment=b"JANE DOE") + b"<script>JANE DOE</script>"


def turned_jpeg() -> bytes:
    """Its EXIF says: turn a quarter clockwise to view."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return save(picture(60, 50), "JPEG", quality=95, exif=exif)


def flipped(content: bytes, place: float = 0.6) -> bytes:
    damaged = bytearray(content)
    damaged[int(len(damaged) * place)] ^= 0xFF
    return bytes(damaged)
