"""Pictures: an image's bytes -> pixels, or one sentence that says why not.

Read by Pillow, in the formats below alone. What a header claims is checked before a pixel is unpacked, and a turned
photograph (EXIF) is set upright.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sartor.data import media as reading
from sartor.data.media import Media, shown
from sartor.errors import BadEnvironment, BadInput, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
MOST_PIXELS = 64_000_000
"""Pillow itself warns above 89 million and refuses only above 179 million."""
SHOWN = "JPEG, PNG, GIF, BMP, WebP or TIFF"
DEEP = {"I;16": 256.0, "I;16L": 256.0, "I;16B": 256.0, "I": 256.0}
"""Modes of more than 8 bits a channel -> what brings their values down to 8."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Seen:
    """What a look at an image found: its size, or what is wrong with it."""

    width: int = 0
    height: int = 0
    problem: BadInput | None = None


def opened(media: Media) -> Image:
    """The image in 8 bits of red, green and blue, upright. Raises `BadInput`."""
    image = decoded(media.read(), media.name)
    media.memo["size"] = image.size
    return image


def size(media: Media) -> tuple[int, int]:
    """Width and height of the image, set upright; remembered where it was opened before. Raises `BadInput`."""
    if "size" not in media.memo:
        found = look(media)
        if found.problem is not None:
            raise found.problem
        media.memo["size"] = (found.width, found.height)
    known: tuple[int, int] = media.memo["size"]
    return known


def decoded(content: bytes, name: str) -> Image:
    """The same from bytes."""
    from PIL import ImageOps, UnidentifiedImageError
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        image = _header(content, name)
        image.load()
        return _in_colour(ImageOps.exif_transpose(image), name)
    except BadInput:
        raise
    except (DecompressionBombError, DecompressionBombWarning):
        raise _too_large(name) from None
    except UnidentifiedImageError:
        raise _unknown(content, name) from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise whatever comes up in damaged data
        raise _damaged(error, name) from None


def look(media: Media) -> Seen:
    """Whether the image can be read, to its last pixel; the answer is remembered, and the content's hash with it."""
    return media.remembered("seen", _looked)


def looks(media: Sequence[Media]) -> Iterable[Seen]:
    """A look at each."""
    return each(media, look)


def each(values: Sequence[T], make: Callable[[T], U]) -> Iterable[U]:
    """`make` of every value in order, on several threads, where Pillow is installed."""
    pillow()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Image size", Warning)  # a size is judged here, by `MOST_PIXELS`
        yield from reading.each(values, make)


def pillow() -> Any:
    """Pillow, or one sentence that says how to get it."""
    try:
        import PIL.Image
    except ImportError:
        fix = 'pip install "sartor[images]"'
        raise BadEnvironment("PILLOW_MISSING", "images are read by Pillow, which is not installed", fix=fix) from None
    return PIL.Image


def _looked(media: Media) -> Seen:
    import hashlib

    try:
        content = media.read()
        media.memo["digest"] = hashlib.sha256(content).hexdigest()
        image = decoded(content, media.name)
    except BadInput as problem:
        return Seen(problem=problem)
    return Seen(*image.size)


def _header(content: bytes, name: str) -> Image:
    """The image opened, nothing unpacked yet, and its header judged."""
    if not content:
        raise BadInput(
            "IMG_EMPTY", f"the image '{shown(name)}' has no bytes", fix="copy it again, or leave its row out"
        )
    image: Image = pillow().open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(name)
    if width < 1 or height < 1:
        said = f"the image '{shown(name)}' is {width} x {height} pixels"
        raise BadInput("IMG_SIZE", said, fix="leave its row out")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        said = f"the image '{shown(name)}' has {frames} frames"
        raise BadInput("IMG_FRAMES", said, fix="save the frame that is meant as an image of its own")
    return image


def _in_colour(image: Image, name: str) -> Image:
    """8 bits of red, green and blue: grey in all three, what is transparent as the colours under it say."""
    if image.mode in DEEP:
        import numpy as np

        values = np.asarray(image).astype(np.float64) / DEEP[image.mode]
        grey: Image = pillow().fromarray(values.clip(0, 255).astype(np.uint8))
        return grey.convert("RGB")
    if image.mode == "F":
        said = f"the image '{shown(name)}' holds fractions (mode F), whose range nothing says"
        raise BadInput("IMG_MODE", said, fix="save it with 8 or 16 bits a channel")
    return image if image.mode == "RGB" else image.convert("RGB")


def _too_large(name: str) -> BadInput:
    said = f"the image '{shown(name)}' has more than {MOST_PIXELS // 1_000_000} million pixels"
    return BadInput("IMG_PIXELS", said, fix="make it smaller, or leave its row out")


def _unknown(content: bytes, name: str) -> BadInput:
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype")):
        return BadInput("IMG_SVG", f"'{shown(name)}' is a drawing in XML (SVG)", fix="save it as PNG")
    return BadInput("IMG_FORMAT", f"'{shown(name)}' is no image that is read", fix=f"save it as {SHOWN}")


def _damaged(error: Exception, name: str) -> BadInput:
    said = one_line(str(error))[:100]
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return BadInput("IMG_TRUNCATED", f"the image '{shown(name)}' ends too early", fix="copy or download it again")
    if "too large" in said.lower() or "text chunk" in said.lower():
        return BadInput("IMG_META", f"the image '{shown(name)}' carries too much besides pixels", fix="save it anew")
    message = f"the image '{shown(name)}' is damaged ({said or type(error).__name__})"
    return BadInput("IMG_CORRUPT", message, fix="copy or download it again, or leave its row out")
