"""The decoder's whole contract: what is taken, what is refused with which code, and what is left behind."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ml.formats import MESSAGES, ImageError
from ml.images import MAX_BYTES, decode_patch, encode_png
from tests import pictures as p
from tests.processes import PATIENCE

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not_an_image"),
    "one byte": (lambda: b"\x89", "not_an_image"),
    "PNG magic alone": (lambda: p.png()[:8], "not_an_image"),
    "text": (lambda: b"hello, this is a plain text file, not a picture", "not_an_image"),
    "HTML": (lambda: b"<!doctype html><script>alert(1)</script>", "not_an_image"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image"),
    "PDF": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "not_an_image"),
    "EPS": (lambda: p.save(p.picture(), "EPS"), "not_an_image"),
    "ZIP": (lambda: b"PK\x03\x04" + bytes(40), "not_an_image"),
    "EXE": (lambda: b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8\0\0\0", "not_an_image"),
    "GIF": (lambda: p.save(p.picture(), "GIF"), "unsupported_format"),
    "WebP": (lambda: p.save(p.picture(), "WEBP"), "unsupported_format"),
    "BMP": (lambda: p.save(p.picture(), "BMP"), "unsupported_format"),
    "ICO": (lambda: p.save(p.picture(), "ICO"), "unsupported_format"),
    "TGA": (lambda: p.save(p.picture(), "TGA"), "unsupported_format"),
    "TGA without footer": (lambda: p.save(p.picture(), "TGA")[:-26], "unsupported_format"),
    "PPM": (lambda: p.save(p.picture(), "PPM"), "unsupported_format"),
    "JPEG 2000": (lambda: p.save(p.picture(), "JPEG2000"), "unsupported_format"),
    "AVIF": (lambda: p.save(p.picture(), "AVIF"), "unsupported_format"),
    "PSD": (lambda: b"8BPS\0\1" + bytes(30), "unsupported_format"),
    "half a PNG": (lambda: p.png()[: len(p.png()) // 2], "truncated"),
    "half a JPEG": (lambda: p.jpeg()[: len(p.jpeg()) // 2], "truncated"),
    "half a TIFF": (lambda: p.tiff()[: len(p.tiff()) // 2], "truncated"),
    "half a compressed TIFF": (
        lambda: (c := p.tiff(compression="tiff_lzw"))[: len(c) // 2],
        "truncated",
    ),
    "JPEG less its last 2 bytes": (lambda: p.jpeg()[:-2], "truncated"),
    "PNG less its last 4 bytes": (lambda: p.png()[:-4], "truncated"),
    "PNG with a flipped byte": (lambda: p.flipped(p.png()), "corrupt"),
    "PNG without pixels": (lambda: p.png()[:33] + p.chunk(b"IEND", b""), "corrupt"),
    "PNG of width 0": (lambda: p.raw_png(0, 50, 8, 2, b"\0"), "corrupt"),
    "PNG that ends in mid-row": (lambda: p.raw_png(50, 50, 8, 2, b"\0" * 400), "truncated"),
    "zTXt bomb": (lambda: p.text_bomb(b"zTXt"), "corrupt"),
    "iTXt bomb": (lambda: p.text_bomb(b"iTXt"), "corrupt"),
    "iCCP bomb": (lambda: p.text_bomb(b"iCCP"), "corrupt"),
    "PNG of 20,000 chunks": (lambda: p.png_with(*[p.chunk(b"teSt", b"")] * 20_000), "corrupt"),
    # Each of these once took seconds, and the first hours, of a whole process.
    "JPEG whose scan is 9 MB of 0xFF": (lambda: p.scanless_jpeg() + b"\xff" * 9_000_000 + b"\0", "truncated"),
    "JPEG that begins with 9 MB of 0xFF": (lambda: p.jpeg_beginning_with(b"\xff" * 9_000_000), "corrupt"),
    "JPEG of 4 million markers": (lambda: p.jpeg_beginning_with(b"\xff\x01" * 4_000_000), "corrupt"),
    "JPEG of 2 million empty segments": (lambda: p.jpeg_beginning_with(b"\xff\xe0\0\2" * 2_000_000), "corrupt"),
    "TIFF whose directory loops": (p.looping_tiff, "corrupt"),
    "TIFF whose directory lies outside": (p.stray_tiff, "corrupt"),
    "30,000 x 30,000 PNG": (p.bomb_png, "too_many_pixels"),
    "13,000 x 13,000 fax TIFF": (p.fax_tiff, "too_many_pixels"),
    "over 10 MB": (lambda: p.png() + bytes(MAX_BYTES), "too_large"),
    "TIFF of two pages": (p.pages_tiff, "multi_frame"),
    "APNG": (p.apng, "multi_frame"),
    "MPO": (p.mpo, "multi_frame"),
    "16-bit grey PNG": (lambda: p.deep_png(0), "bit_depth"),
    "16-bit RGB PNG": (lambda: p.deep_png(2), "bit_depth"),
    "16-bit RGB TIFF": (p.deep_tiff, "bit_depth"),
    "16-bit grey TIFF": (lambda: p.save(Image.fromarray(np.full((50, 50), 999, np.uint16)), "TIFF"), "bit_depth"),
    "int32 TIFF": (lambda: p.save(p.picture(mode="I"), "TIFF"), "bit_depth"),
    "float TIFF": (lambda: p.save(p.picture(mode="F"), "TIFF"), "bit_depth"),
    "NaN TIFF": (lambda: p.save(Image.fromarray(np.full((50, 50), np.nan, np.float32)), "TIFF"), "bit_depth"),
    "CMYK JPEG": (lambda: p.save(p.picture(mode="CMYK"), "JPEG"), "colour_mode"),
    "CMYK TIFF": (lambda: p.save(p.picture(mode="CMYK"), "TIFF"), "colour_mode"),
    "LAB TIFF": (lambda: p.save(Image.new("LAB", (50, 50)), "TIFF"), "colour_mode"),
    "24 px wide": (lambda: p.png(24, 30), "dimensions"),
    "a sliver": (lambda: p.png(50, 33), "dimensions"),
    "513 px wide": (lambda: p.png(513, 400), "too_large_for_patch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_code(name: str) -> None:
    make, code = REFUSED[name]
    with pytest.raises(ImageError) as refusal:
        decode_patch(make())
    assert refusal.value.code == code
    assert str(refusal.value) == MESSAGES[code] % refusal.value.params


def test_every_code_is_refused_somewhere() -> None:
    of_archives = {"unsafe_path", "encrypted", "packing"}  # tests/api/test_creating.py
    assert {code for _, code in REFUSED.values()} == set(MESSAGES) - of_archives


def test_an_unread_format_is_named() -> None:
    with pytest.raises(ImageError, match=r"^WebP files are not read\."):
        decode_patch(p.save(p.picture(), "WEBP"))


ACCEPTED: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "PNG of 50 x 50": (p.png, ()),
    "JPEG": (p.jpeg, ()),
    "progressive JPEG": (lambda: p.jpeg(progressive=True), ()),
    "JPEG filled up before a marker": (lambda: p.jpeg_beginning_with(b"\xff" * 100), ()),
    "TIFF": (p.tiff, ()),
    "LZW TIFF": (lambda: p.tiff(compression="tiff_lzw"), ()),
    "JPEG TIFF": (lambda: p.tiff(compression="jpeg"), ()),
    "grey": (lambda: p.png(mode="L"), ("grey",)),
    "palette": (lambda: p.png(mode="P"), ("palette",)),
    "1 bit": (lambda: p.png(mode="1"), ("one_bit",)),
    "RGBA": (lambda: p.png(mode="RGBA"), ("alpha",)),
    "LA": (lambda: p.png(mode="LA"), ("alpha",)),
    "25 px": (lambda: p.png(25, 25), ("rescaled",)),
    "512 px": (lambda: p.png(512, 400), ("rescaled",)),
    "48 x 50 edge patch": (lambda: p.png(48, 50), ("rescaled",)),
    "turned by EXIF": (p.turned_jpeg, ("rotated", "rescaled")),
    "broken profile": (p.personal_png, ()),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_good_file_becomes_a_patch_with_notes(name: str) -> None:
    make, notes = ACCEPTED[name]
    patch = decode_patch(make())
    assert patch.notes == notes
    assert patch.pixels.shape == (50, 50, 3)
    assert patch.pixels.dtype == np.uint8


def test_a_50x50_png_is_read_pixel_for_pixel() -> None:
    patch = decode_patch(p.png())
    expected = np.asarray(p.picture())
    np.testing.assert_array_equal(patch.pixels, expected)
    assert patch.sha256 == hashlib.sha256(expected.tobytes()).hexdigest()
    np.testing.assert_array_equal(decode_patch(encode_png(patch.pixels)).pixels, expected)


def test_transparency_is_laid_on_white() -> None:
    clear = p.save(Image.new("RGBA", (50, 50), (90, 10, 120, 0)), "PNG")
    assert np.all(decode_patch(clear).pixels == 255)


def test_exif_orientation_is_applied_once() -> None:
    turned = decode_patch(p.turned_jpeg())
    assert (turned.width, turned.height) == (50, 60)
    upright = p.picture(60, 50).transpose(Image.Transpose.ROTATE_270).resize((50, 50))
    assert np.abs(turned.pixels.astype(int) - np.asarray(upright).astype(int)).mean() < 6


@pytest.mark.parametrize("make", [p.personal_png, p.personal_jpeg])
def test_nothing_but_pixels_is_kept(make: Callable[[], bytes]) -> None:
    assert b"JANE DOE" in make()
    stored = encode_png(decode_patch(make()).pixels)
    assert b"JANE" not in stored
    with Image.open(io.BytesIO(stored)) as image:
        assert (image.info, dict(image.getexif())) == ({}, {})
    assert stored.endswith(b"IEND\xaeB`\x82")


SEEDS = [p.png(), p.png(mode="P"), p.jpeg(), p.jpeg(progressive=True), p.tiff(), p.tiff(compression="tiff_lzw")]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file, cut, spliced, and with some of its bytes changed."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for place, value in draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12)):
        content[min(int(place * len(content)), len(content) - 1)] = value
    # The headers decide most: change them more often than chance would.
    for place, value in draw(st.lists(st.tuples(st.integers(0, 180), st.integers(0, 255)), max_size=6)):
        content[place] = value
    if draw(st.booleans()):
        del content[int(draw(st.floats(0, 1)) * len(content)) :]
    return bytes(content) + draw(st.binary(max_size=40))


@settings(max_examples=600, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_any_bytes_give_a_patch_or_a_coded_error_within_2_seconds(content: bytes) -> None:
    outcome: tuple[int, ...] | str
    try:
        outcome = decode_patch(content).pixels.shape
    except ImageError as refusal:
        outcome = refusal.code
    assert outcome in {(50, 50, 3), *MESSAGES}


def test_no_file_takes_more_than_a_gigabyte() -> None:
    """Every good and bad file, in a process that may not have more."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "from tests.ml.test_images import ACCEPTED, REFUSED, ImageError, decode_patch\n"
        "for make, _ in (*REFUSED.values(), *ACCEPTED.values()):\n"
        "    try: decode_patch(make())\n"
        "    except ImageError as error: assert not isinstance(error.__cause__, MemoryError), make\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
