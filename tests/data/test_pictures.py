from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_samples import SHAPES, encoded, picture
from sartor.data.media import Held, Media
from sartor.data.pictures import MOST_PIXELS, each, look, opened
from sartor.errors import BadInput

PLAIN = picture("disc", np.random.default_rng(0))


def media(content: bytes) -> Media:
    return Media("cat/1.png", Held(content))


def frames() -> bytes:
    out = io.BytesIO()
    PLAIN.save(out, "GIF", save_all=True, append_images=[PLAIN.rotate(90)])
    return out.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header claims a size; no pixels."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def bad_checksum() -> bytes:
    content = bytearray(encoded(PLAIN))
    content[content.index(b"IDAT") + 10] ^= 0xFF
    return bytes(content)


BAD = {
    "empty": (b"", "error[IMG_EMPTY]: the image 'cat/1.png' has no bytes. Fix: copy it again, or leave its row out."),
    "text": (b"hello", "error[IMG_FORMAT]: 'cat/1.png' is no image that is read. Fix: save it as JPEG, PNG, GIF,"),
    "pdf": (b"%PDF-1.4 ...", "error[IMG_FORMAT]: 'cat/1.png' is no image that is read."),
    "svg": (b"<svg onload='x()'/>", "error[IMG_SVG]: 'cat/1.png' is a drawing in XML (SVG). Fix: save it as PNG."),
    "entities": (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>", "error[IMG_SVG]: 'cat/1.png' is a drawing"),
    "cut off": (
        encoded(PLAIN, "JPEG")[:300],
        "error[IMG_TRUNCATED]: the image 'cat/1.png' ends too early. Fix: copy or download it again.",
    ),
    "checksum": (bad_checksum(), "error[IMG_CORRUPT]: the image 'cat/1.png' is damaged ("),
    "bomb": (
        png(50_000, 50_000),
        "error[IMG_PIXELS]: the image 'cat/1.png' has more than 64 million pixels. "
        "Fix: make it smaller, or leave its row out.",
    ),
    "above the limit": (png(9000, 9000), "error[IMG_PIXELS]: the image 'cat/1.png' has more than 64 million pixels."),
    "frames": (
        frames(),
        "error[IMG_FRAMES]: the image 'cat/1.png' has 2 frames. Fix: save the frame that is meant as an image",
    ),
    "text chunk": (
        png(4, 4, (b"zTXt", b"k\0\0" + zlib.compress(bytes(80 << 20)))),
        "error[IMG_META]: the image 'cat/1.png' carries too much besides pixels. Fix: save it anew.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_one_sentence(name: str) -> None:
    content, said = BAD[name]
    with pytest.raises(BadInput) as raised:
        list(each([media(content)], opened))
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert look(media(content)).problem is not None


def test_no_image_has_a_side_of_nothing() -> None:
    with pytest.raises(BadInput, match=r"error\[IMG_(SIZE|CORRUPT|FORMAT)\]"):
        opened(media(png(0, 5)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_every_format_gives_red_green_and_blue(kind: str) -> None:
    found = opened(media(encoded(PLAIN, kind)))
    assert found.mode == "RGB"
    assert found.size == PLAIN.size
    if kind in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(np.asarray(found), np.asarray(PLAIN))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_gives_red_green_and_blue(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    assert opened(media(encoded(PLAIN.convert(mode), kind))).mode == "RGB"


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 256, 32_768, 65_535]], dtype=np.uint16)
    found = np.asarray(opened(media(encoded(Image.fromarray(values)))))
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]


def test_fractions_have_no_known_range() -> None:
    content = encoded(Image.fromarray(np.ones((2, 2), dtype=np.float32)), "TIFF")
    with pytest.raises(BadInput, match=r"error\[IMG_MODE\]: the image 'cat/1.png' holds fractions \(mode F\)"):
        opened(media(content))


def test_a_turned_photograph_stands_upright() -> None:
    turned = PLAIN.crop((0, 0, 24, 12))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    out = io.BytesIO()
    turned.save(out, "PNG", exif=exif)
    assert opened(media(out.getvalue())).size == (12, 24)


def test_a_look_remembers_what_it_saw(tmp_path: Path) -> None:
    seen = media(encoded(PLAIN))
    assert (look(seen).width, look(seen).height) == PLAIN.size
    assert look(seen) is look(seen)
    assert len(seen.digest) == 64


def test_many_come_back_in_their_order() -> None:
    draw = np.random.default_rng(3)
    pictures = [picture(SHAPES[i % 3], draw) for i in range(600)]
    held = [media(encoded(p)) for p in pictures]
    for found, expected in zip(each(held, opened), pictures, strict=True):
        assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_the_limit_is_below_what_pillow_warns_of() -> None:
    assert MOST_PIXELS < Image.MAX_IMAGE_PIXELS
