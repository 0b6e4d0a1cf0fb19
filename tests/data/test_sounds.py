from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from sartor.data.checks import check
from sartor.data.hints import Hints
from sartor.data.media import Held, Media
from sartor.data.read import read
from sartor.data.sounds import MOST_SECONDS, decoded, listen, opened
from sartor.errors import BadInput
from sound_samples import RATE, by_class, encoded, tone

TONE = tone("rise", np.random.default_rng(0))
PLAIN = encoded(TONE)


def media(content: bytes, name: str = "a/1.wav") -> Media:
    return Media(name, Held(content))


def with_rate(rate: int) -> bytes:
    return PLAIN[:24] + struct.pack("<I", rate) + PLAIN[28:]


def with_size(size: int) -> bytes:
    at = PLAIN.index(b"data") + 4
    return PLAIN[:at] + struct.pack("<I", size) + PLAIN[at + 4 :]


def damaged_flac() -> bytes:
    content = bytearray(encoded(np.random.default_rng(0).standard_normal(16_000) * 0.1, kind="FLAC"))
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    return bytes(content)


def with_nan() -> bytes:
    samples = TONE.copy()
    samples[7] = np.nan
    return encoded(samples, subtype="FLOAT")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "[AUD_EMPTY]: the sound 'a/1.wav' has no bytes. Fix: copy it again, or leave its row out."),
        (encoded(TONE[:0]), "[AUD_EMPTY]: the sound 'a/1.wav' has no samples. "),
        (PLAIN[:-50], "[AUD_TRUNCATED]: the sound 'a/1.wav' ends too early. Fix: copy or download it again, or leave "),
        (with_size(4_000_000_000), "[AUD_TRUNCATED]: the sound 'a/1.wav' ends too early. "),
        (PLAIN[:30], "[AUD_TRUNCATED]: the sound 'a/1.wav' ends too early. "),
        (b"no sound at all " * 9, "[AUD_CODEC]: 'a/1.wav' is no sound that is read. Fix: save it as WAV or FLAC."),
        (damaged_flac(), "[AUD_CORRUPT]: the sound 'a/1.wav' is damaged ("),
        (
            with_rate(0),
            "[AUD_RATE]: the sound 'a/1.wav' claims 0 samples a second. Fix: save it again with its true rate",
        ),
        (with_rate(10_000_000), "[AUD_RATE]: the sound 'a/1.wav' claims 10,000,000 samples a second. "),
        (with_nan(), "[AUD_VALUES]: the sound 'a/1.wav' holds values that are no numbers. "),
    ],
    ids=["bytes", "samples", "cut", "4 GB", "header", "text", "flac", "rate 0", "rate 10 MHz", "nan"],
)
def test_a_bad_sound_is_one_sentence(content: bytes, said: str) -> None:
    found = listen(media(content)).problem
    assert found is not None
    assert str(found).startswith(f"error{said}")


def test_an_hour_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(np.zeros(1000 * 3600, dtype=np.int16), 1000, "FLAC")
    monkeypatch.setattr("soundfile.SoundFile.read", lambda *_, **__: pytest.fail("it was decoded"))
    assert str(listen(media(content)).problem) == (
        "error[AUD_LENGTH]: the sound 'a/1.wav' lasts 1.0 hours; at most 5 minutes are read at once. "
        "Fix: cut it into parts, one row each."
    )
    assert MOST_SECONDS == 300


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", None), ("AIFF", None)])
def test_lossless_kinds_give_the_same_samples(kind: str, subtype: str | None) -> None:
    samples, rate = decoded(encoded(TONE, kind=kind, subtype=subtype), "x")
    assert rate == RATE
    np.testing.assert_allclose(samples, TONE, atol=2**-14)


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
def test_lossy_kinds_are_read(kind: str) -> None:
    samples, rate = decoded(encoded(np.tile(TONE, 4), kind=kind), "x")
    assert rate == RATE
    assert len(samples) == pytest.approx(4 * len(TONE), rel=0.5)


def test_a_stream_that_did_not_know_its_end_is_read() -> None:
    assert len(decoded(with_size(0xFFFFFFFF), "x")[0]) == len(TONE)


def test_channels_become_their_mean() -> None:
    both = encoded(np.stack([TONE, -TONE / 2], 1), subtype="FLOAT")
    np.testing.assert_allclose(decoded(both, "x")[0], TONE / 4, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
def test_a_tone_stays_a_tone_at_another_rate(rate: int) -> None:
    """440 Hz at any rate are 440 Hz at 16,000, as their formula says."""
    time = np.arange(rate) / rate
    found = opened(media(encoded(0.5 * np.sin(2 * np.pi * 440 * time), rate, subtype="FLOAT")), 16_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert len(found) == 16_000
    np.testing.assert_allclose(found[800:-800], expected[800:-800], atol=2e-3)


def test_a_folder_of_sounds_is_a_table(tmp_path: Path) -> None:
    rows = read(str(by_class(tmp_path / "tones")))
    assert rows.schema.inputs == ("audio",)
    assert rows.column("label") == [shape for shape in ("fall", "rise", "still") for _ in range(12)]
    assert not check(rows)


def test_bad_sounds_are_named_and_may_be_left_out(tmp_path: Path) -> None:
    folder = by_class(tmp_path / "tones")
    (folder / "rise" / "3.wav").write_bytes(PLAIN[:-50])
    (folder / "rise" / "4.wav").write_bytes(PLAIN[:-90])
    problems = check(read(str(folder)))
    assert [(p.code, p.severity, p.count) for p in problems] == [("AUD_TRUNCATED", "error", 2)]
    assert problems[0].fix.endswith("; --skip-bad 2 leaves such rows out")
    few = read(str(folder), Hints(skip_bad=2))
    assert len(few) == 34
    assert [p.code for p in check(few)] == ["MEDIA_SKIPPED"]


def test_silence_is_worth_a_warning(tmp_path: Path) -> None:
    folder = by_class(tmp_path / "tones")
    (folder / "rise" / "3.wav").write_bytes(encoded(np.zeros(2000)))
    (problem,) = check(read(str(folder)))
    assert (problem.code, problem.severity) == ("AUD_SILENT", "warning")
    assert problem.message == "nothing is to be heard in 'audio' of 1 row: every sample is the same"


def test_bytes_are_known_for_sounds() -> None:
    for kind in ("WAV", "FLAC", "OGG"):
        content = encoded(TONE, kind=kind)
        rows = read([{"audio": {"bytes": content, "path": None}, "label": "ab"[i % 2]} for i in range(20)])
        assert rows.schema.reading("audio") == ("audio",), kind


def test_columns_of_datasets_are_read_without_decoding() -> None:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": PLAIN, "path": f"{i}.wav"} for i in range(20)]
    made = datasets.Dataset.from_dict({"audio": cells, "text": ["one"] * 20})
    made = made.cast_column("audio", datasets.Audio(sampling_rate=16_000, decode=True))
    rows = read(made, Hints(target="text", kinds={"text": "text"}))
    assert rows.schema.kind("audio") == "audio"
    assert rows.column("audio")[0].read() == PLAIN


def test_samples_that_a_program_holds_are_a_sound() -> None:
    cells = [{"array": TONE, "sampling_rate": RATE}, {"array": (TONE * 32767).astype(np.int16), "sampling_rate": RATE}]
    rows = read([{"audio": cells[i % 2], "label": "ab"[i % 2]} for i in range(20)])
    assert rows.schema.kind("audio") == "audio"
    for media in rows.column("audio")[:2]:
        np.testing.assert_allclose(opened(media, RATE), TONE, atol=2**-14)
    with pytest.raises(BadInput) as raised:
        read([{"audio": {"array": ["a"], "sampling_rate": RATE}, "label": "a"}] * 20)
    assert str(raised.value) == (
        "error[AUD_ARRAY]: 'audio 1' is a sound of shape (1,) and type <U1. "
        "Fix: give numbers, (samples,) or (samples, channels), and a whole rate."
    )


def test_without_the_libraries_one_sentence_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from sartor.errors import BadEnvironment

    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(BadEnvironment) as raised:
        decoded(PLAIN, "x")
    assert str(raised.value) == (
        "error[AUDIO_MISSING]: sounds are read by soundfile and soxr, and soundfile is not installed. "
        'Fix: pip install "sartor[audio]".'
    )


def test_a_sound_that_is_no_sound_raises() -> None:
    with pytest.raises(BadInput, match="AUD_CODEC"):
        opened(media(b"<html>" * 100), 16_000)
