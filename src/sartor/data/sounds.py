"""Sounds: an audio file's bytes -> samples, or one sentence that says why not.

Read by libsndfile (soundfile): WAV, FLAC, Ogg, MP3 and their kin. What a header claims is checked before anything is
decoded; several channels become their mean; resampled by soxr (a polyphase filter of high quality).

Legend: S samples.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.media import Media, each, shown
from sartor.errors import BadEnvironment, BadInput, one_line

LEAST_RATE, MOST_RATE = 1_000, 768_000
"""Samples a second."""
MOST_SECONDS = 300
"""A longer sound is a recording of many things; what is read at once grows with it."""
MOST_CHANNELS = 64
SHOWN = "WAV or FLAC"
STREAMED = (0, 0xFFFFFFFF)
"""Sizes that a program writes which does not know the end yet."""

PLAYED = 300_000
"""Bytes of the largest sound that is put into a page."""
TYPES = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mpeg", b"\xff": "mpeg"}

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """What a listening to a sound found: how long it is, whether there is anything in it, or what is wrong with it."""

    seconds: float = 0.0
    silent: bool = False
    problem: BadInput | None = None


@dataclass(frozen=True)
class Recorded:
    """Samples (S,) or (S, channels) that a program holds, as the bytes of a WAV file."""

    samples: NDArray[Any] = field(repr=False)
    rate: int

    def read(self, name: str) -> bytes:
        out = io.BytesIO()
        _library("soundfile").write(out, self.samples, self.rate, format="WAV", subtype="FLOAT")
        return out.getvalue()


def recorded(value: Mapping[str, Any], name: str) -> Media:
    """A sound that a program holds, as `datasets` has it decoded: `array` and `sampling_rate`."""
    samples, rate = np.asarray(value["array"]), value["sampling_rate"]
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi" or not isinstance(rate, int | np.integer):
        said = f"'{name}' is a sound of shape {samples.shape} and type {samples.dtype}"
        raise BadInput("AUD_ARRAY", said, fix="give numbers, (samples,) or (samples, channels), and a whole rate")
    whole = samples.dtype.kind == "i"
    scaled = samples / np.iinfo(samples.dtype).max if whole else samples
    return Media(name, Recorded(np.asarray(scaled, dtype=np.float32), int(rate)))


def opened(media: Media, rate: int) -> Samples:
    """(S,) one channel at `rate` samples a second. Raises `BadInput`."""
    samples, own = decoded(media.read(), media.name)
    return resampled(samples, own, rate)


def resampled(samples: Samples, own: float, rate: float) -> Samples:
    """(S,) samples taken `own` times a second -> `rate` times a second."""
    if own == rate:
        return samples
    found: Samples = _library("soxr").resample(samples, own, rate)
    return found


def decoded(content: bytes, name: str) -> tuple[Samples, int]:
    """(S,) the mean of the channels, -1 to 1, and how many there are a second."""
    if not content:
        raise _unfit("AUD_EMPTY", name, "has no bytes", "copy it again, or leave its row out")
    library = _library("soundfile")
    _refuse_cut(content, name)
    try:
        with library.SoundFile(io.BytesIO(content)) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            _refuse_header(rate, frames, int(file.channels), name)
            found = file.read(dtype="float32", always_2d=True)
    except library.LibsndfileError as error:
        raise _undecodable(error, content, name) from None
    if len(found) < frames * 0.99 and not content.startswith((b"ID3", b"\xff")):  # MP3s only estimate their length
        raise _cut(name)
    if not np.isfinite(found).all():
        raise _unfit("AUD_VALUES", name, "holds values that are no numbers", "save it again from its source")
    return np.ascontiguousarray(found.mean(1)), rate


def listen(media: Media) -> Heard:
    """Whether the sound can be read, to its last sample; the answer is remembered, and the content's hash with it."""
    return media.remembered("heard", _heard)


def played(media: Media) -> str:
    """The sound as an address that carries it, for a page that loads nothing; empty where it is too large, or of a kind
    that browsers do not play."""
    content = media.read()
    kind = next((kind for magic, kind in TYPES.items() if content.startswith(magic)), "")
    if not kind or len(content) > PLAYED:
        return ""
    return f"data:audio/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def looks(media: Sequence[Media]) -> Iterable[Heard]:
    """A listening to each."""
    return each(media, listen)


def _heard(media: Media) -> Heard:
    try:
        content = media.read()
        media.memo["digest"] = hashlib.sha256(content).hexdigest()
        samples, rate = decoded(content, media.name)
    except BadInput as problem:
        return Heard(problem=problem)
    return Heard(len(samples) / rate, bool(np.ptp(samples) == 0))


def _library(name: str) -> Any:
    """soundfile or soxr, or one sentence that says how to get them."""
    try:
        if name == "soxr":
            import soxr

            return soxr
        import soundfile

        return soundfile
    except (ImportError, OSError):  # soundfile raises the latter where libsndfile itself is missing
        said = f"sounds are read by soundfile and soxr, and {name} is not installed"
        raise BadEnvironment("AUDIO_MISSING", said, fix='pip install "sartor[audio]"') from None


def _refuse_header(rate: int, frames: int, channels: int, name: str) -> None:
    """Raise `BadInput` for what a header says before anything is decoded."""
    if not LEAST_RATE <= rate <= MOST_RATE:
        fix = f"save it with {LEAST_RATE:,} to {MOST_RATE:,} samples a second, such as 16,000"
        raise _unfit("AUD_RATE", name, f"claims {rate:,} samples a second", fix)
    if frames < 1:
        raise _unfit("AUD_EMPTY", name, "has no samples", "record it again, or leave its row out")
    if channels > MOST_CHANNELS:
        raise _unfit("AUD_CHANNELS", name, f"has {channels} channels", "save it with one or two")
    if frames > MOST_SECONDS * rate:
        said = f"lasts {_lasting(frames / rate)}; at most {MOST_SECONDS // 60} minutes are read at once"
        raise _unfit("AUD_LENGTH", name, said, "cut it into parts, one row each")


def _lasting(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{math.ceil(seconds / 60)} minutes"


def _refuse_cut(content: bytes, name: str) -> None:
    """Raise `BadInput` for a WAV file that ends before the samples it announces; libsndfile would shorten it."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(content):
        kind, size = content[at : at + 4], struct.unpack("<I", content[at + 4 : at + 8])[0]
        if kind == b"fmt " and at + 16 <= len(content) and struct.unpack("<I", content[at + 12 : at + 16])[0] == 0:
            fix = "save it again with its true rate, such as 16,000"
            raise _unfit("AUD_RATE", name, "claims 0 samples a second", fix)
        if kind == b"data":
            if size not in STREAMED and size > len(content) - at - 8:
                raise _cut(name)
            return
        at += 8 + size + size % 2
    raise _cut(name)


def _undecodable(error: Any, content: bytes, name: str) -> BadInput:
    if getattr(error, "code", 0) == 1 and not content.startswith((b"RIFF", b"fLaC", b"OggS")):
        return BadInput("AUD_CODEC", f"'{shown(name)}' is no sound that is read", fix=f"save it as {SHOWN}")
    said = one_line(str(error)).rpartition(": ")[2].rstrip(".")[:100]
    return _unfit("AUD_CORRUPT", name, f"is damaged ({said})", "copy or download it again, or leave its row out")


def _cut(name: str) -> BadInput:
    return _unfit("AUD_TRUNCATED", name, "ends too early", "copy or download it again, or leave its row out")


def _unfit(code: str, name: str, said: str, fix: str) -> BadInput:
    return BadInput(code, f"the sound '{shown(name)}' {said}", fix=fix)
