"""What a file is, read from its bytes before any decoder sees it: format, structure, dimensions, depth.

Pillow tells less than is needed here: it passes truncated files and reads 16-bit colour as 8-bit without a
word. Each walk below visits every chunk, segment or directory once, in bounded time. (Text and profiles
that would inflate without end, Pillow refuses by itself.)

Sources: PNG (W3C Recommendation, third edition), JPEG (ITU-T T.81, annex B), TIFF 6.0 (Adobe, 1992).
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any

MAX_CHUNKS = 10_000  # of a PNG; as many markers of a JPEG, and bytes that fill it up
MAX_SCANS = 100  # of a progressive JPEG: each costs a pass over the image
MAX_REACH = 10 * 1024 * 1024  # no file that is taken is longer, so no offset may point further
MAX_TAGS = 1_000  # of a TIFF directory


def N_(text: str) -> str:
    """Marks a sentence for translation. Who shows it (the site) translates it."""
    return text


# One sentence for each code: what is wrong, and what to do.
MESSAGES = {
    "not_an_image": N_("This is not an image. Send a PNG, JPEG or TIFF file."),
    "unsupported_format": N_("%(format)s files are not read. Save the patch as PNG, JPEG or TIFF."),
    "truncated": N_("The file ends too early: part of it is missing. Copy or export it again."),
    "corrupt": N_("The file is damaged and cannot be read. Export it again."),
    "too_many_pixels": N_("The image has more than %(megapixels)s million pixels. Cut out a patch of 50 x 50 pixels."),
    "too_large": N_("The file is larger than %(megabytes)s MB. A patch of 50 x 50 pixels weighs about 5 KB."),
    "multi_frame": N_("The file holds more than one image. Save the one you mean by itself."),
    "bit_depth": N_("The image has more than 8 bits per channel. Convert it to 8-bit RGB."),
    "colour_mode": N_("The image is in colour mode %(mode)s. Convert it to RGB."),
    "dimensions": N_(
        "The image is %(width)s x %(height)s pixels. Both sides must be at least %(side)s pixels, and the "
        "longer at most %(aspect)s times the shorter."
    ),
    "too_large_for_patch": N_(
        "The image is %(width)s x %(height)s pixels, larger than a patch (at most %(side)s). Cut out the region "
        "you mean, or rescale the image to about 4 um per pixel and cut out 50 x 50 pixels."
    ),
    # Of members of an archive:
    "unsafe_path": N_("The file's name in the archive leads out of the archive's folder. Pack it under a plain name."),
    "encrypted": N_("The file is encrypted. Pack the archive without a password."),
    "packing": N_("The file is packed in a way that is not read. Pack the archive in the usual way (deflate)."),
}


class ImageError(Exception):
    """A file that cannot be a patch.

    code: a key of MESSAGES. template, params: its sentence in English, and what to fill in.
    """

    def __init__(self, code: str, **params: Any) -> None:
        self.code, self.template, self.params = code, MESSAGES[code], params
        super().__init__(self.template % params)


@dataclass(frozen=True)
class Header:
    """What the file says of itself. format: Pillow's name. width, height: px, as stored."""

    format: str
    width: int
    height: int
    bits_per_channel: int
    frames: int = 1
    is_unsigned: bool = True


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = {b"II*\0": "<", b"MM\0*": ">"}


def inspect(content: bytes) -> Header:
    """The header of a PNG, JPEG or TIFF whose structure is sound from its first byte to its last.

    Raises:
        ImageError: not_an_image, unsupported_format, truncated, corrupt, multi_frame.
    """
    if content.startswith(PNG_SIGNATURE) and len(content) > len(PNG_SIGNATURE):
        return _inspect_png(content)
    if content.startswith(b"\xff\xd8\xff") and len(content) > 8:
        return _inspect_jpeg(content)
    if content[:4] in TIFF_SIGNATURES and len(content) > 8:
        return _inspect_tiff(content)
    if name := _other_image_format(content):
        raise ImageError("unsupported_format", format=name)
    raise ImageError("not_an_image")


def _other_image_format(content: bytes) -> str:
    """The name of an image format that is not read here, or ""."""
    brand = content[8:12]
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith(b"RIFF") and brand == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp" and brand in (b"avif", b"avis"):
        return "AVIF"
    if content[4:8] == b"ftyp" and brand in (b"heic", b"heix", b"mif1", b"msf1"):
        return "HEIC"
    if content.startswith(b"BM") and content[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return "BMP"
    if content.startswith((b"\0\0\1\0", b"\0\0\2\0")) and len(content) > 22:
        return "ICO"
    if content.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JPEG 2000"
    if content.startswith(b"8BPS"):
        return "PSD"
    if content.startswith((b"II+\0", b"MM\0+")):
        return "BigTIFF"
    if re.match(rb"P[1-7f]\s", content, re.IGNORECASE):
        return "PPM"
    # TGA has no signature: a footer in its second version, else a header in which all must fit.
    if content.endswith(b"TRUEVISION-XFILE.\0"):
        return "TGA"
    if len(content) > 18 and content[1] in (0, 1) and content[2] in (1, 2, 3, 9, 10, 11):
        width, height, depth = struct.unpack_from("<HHB", content, 12)
        if width and height and depth in (8, 16, 24, 32) and content[17] & 0xC0 == 0:
            return "TGA"
    return ""


def _inspect_png(content: bytes) -> Header:
    position, header, has_pixels = len(PNG_SIGNATURE), None, False
    for _ in range(MAX_CHUNKS):
        if position + 12 > len(content):
            raise ImageError("truncated")
        length, kind = struct.unpack_from(">I4s", content, position)
        if length > 0x7FFFFFFF or not kind.isalpha():
            raise ImageError("corrupt")
        end = position + 8 + length
        if end + 4 > len(content):
            raise ImageError("truncated")
        body = content[position + 8 : end]
        if zlib.crc32(content[position + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise ImageError("corrupt")
        match kind:
            case b"IHDR":
                width, height, bits = struct.unpack_from(">IIB", body)
                header = Header("PNG", width, height, bits)
            case b"IDAT":
                has_pixels = True
            case b"acTL":
                raise ImageError("multi_frame")
            case b"IEND":
                if header is None or not has_pixels:
                    raise ImageError("corrupt")
                return header  # what stands behind it belongs to no image and is dropped
        position = end + 4
    raise ImageError("corrupt")


# Inside a scan, 0xFF is followed by 0x00 (a data byte), a restart marker or more of itself; anything else ends it.
# (No repeat in the pattern: each of a million of them would be a new beginning, tried to the end.)
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
FILL = re.compile(rb"\xff*")  # any number may stand before a marker, of which the last is a part
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _inspect_jpeg(content: bytes) -> Header:
    position, header, scans, filled = 2, None, 0, 0
    for _ in range(MAX_CHUNKS):
        if (fill := FILL.match(content, position)) and fill.end() > position + 1:
            filled += fill.end() - 1 - position
            position = fill.end() - 1
        if filled > MAX_CHUNKS:
            break
        if position + 2 > len(content):
            raise ImageError("truncated")
        if content[position] != 0xFF:
            raise ImageError("corrupt")
        marker = content[position + 1]
        if marker == 0xD9:  # end of image; a trailer is dropped
            if header is None or not scans:
                raise ImageError("corrupt")
            return header
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        if position + 4 > len(content):
            raise ImageError("truncated")
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        if length < 2:
            raise ImageError("corrupt")
        if position + 2 + length > len(content):
            raise ImageError("truncated")
        if marker in FRAME_MARKERS:
            bits, height, width = struct.unpack_from(">BHH", content, position + 4)
            header = Header("JPEG", width, height, bits)
        position += 2 + length
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                break
            end = SCAN_END.search(content, position)
            if end is None:
                raise ImageError("truncated")
            position = end.end() - 2
    raise ImageError("corrupt")


# TIFF tags, and the field types whose values can say a size: byte, short, long.
TAG_WIDTH, TAG_HEIGHT, TAG_BITS, TAG_SAMPLE_FORMAT = 256, 257, 258, 339
INTEGER_FIELDS = {1: "B", 3: "H", 4: "I"}
UNSIGNED_SAMPLES = 1


def _inspect_tiff(content: bytes) -> Header:
    order = TIFF_SIGNATURES[content[:4]]
    first = _offset(content, 4, order)
    tags, following = _read_directory(content, first, order)
    if following:
        # A directory that names itself again, or points outside, is damage; another one is another image.
        if following == first or following + 2 > len(content):
            raise ImageError("corrupt")
        raise ImageError("multi_frame")
    if TAG_WIDTH not in tags or TAG_HEIGHT not in tags:
        raise ImageError("corrupt")
    return Header(
        "TIFF",
        tags[TAG_WIDTH][0],
        tags[TAG_HEIGHT][0],
        bits_per_channel=max(tags.get(TAG_BITS, [1])),
        is_unsigned=set(tags.get(TAG_SAMPLE_FORMAT, [UNSIGNED_SAMPLES])) == {UNSIGNED_SAMPLES},
    )


def _offset(content: bytes, position: int, order: str) -> int:
    value: int = struct.unpack_from(order + "I", content, position)[0]
    return value


def _read_directory(content: bytes, start: int, order: str) -> tuple[dict[int, list[int]], int]:
    """The whole-numbered tags of the directory at `start`, and the offset of the next directory (0: none)."""
    if start < 8 or start > MAX_REACH:
        raise ImageError("corrupt")
    if start + 2 > len(content):
        raise ImageError("truncated")
    count: int = struct.unpack_from(order + "H", content, start)[0]
    if not 0 < count <= MAX_TAGS:
        raise ImageError("corrupt")
    end = start + 2 + 12 * count
    if end + 4 > len(content):
        raise ImageError("truncated")
    tags = {}
    for entry in range(start + 2, end, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", content, entry)
        if tag not in (TAG_WIDTH, TAG_HEIGHT, TAG_BITS, TAG_SAMPLE_FORMAT):
            continue
        if kind not in INTEGER_FIELDS or not 0 < number <= 16:
            raise ImageError("corrupt")
        layout = order + str(number) + INTEGER_FIELDS[kind]
        position = entry + 8 if struct.calcsize(layout) <= 4 else _offset(content, entry + 8, order)
        if position + struct.calcsize(layout) > len(content):
            raise ImageError("truncated")
        tags[tag] = list(struct.unpack_from(layout, content, position))
    return tags, _offset(content, end, order)
