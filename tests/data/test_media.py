from __future__ import annotations

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_samples import SHAPES, by_class, encoded, picture, pictured
from sartor.data.checks import check
from sartor.data.hints import Hints
from sartor.data.media import Anywhere, Folder, Media, as_json
from sartor.data.pictures import opened
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.data.split import split
from sartor.errors import BadInput

SOME = [encoded(picture(SHAPES[i % 3], np.random.default_rng(i))) for i in range(30)]


def table(folder: Path, cells: list[str], name: str = "train.csv") -> Path:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label"])
        rows.writerows([cell, SHAPES[i % 3]] for i, cell in enumerate(cells))
    return folder / name


def archived(folder: Path, name: str, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def contents(rows: Rows) -> list[bytes]:
    return [m.read() for m in rows.column("image")]


def sentence(call: Any) -> str:
    with pytest.raises(BadInput) as raised:
        call()
    return str(raised.value)


def test_folders_by_class_are_a_table(tmp_path: Path) -> None:
    (tmp_path / "photos" / ".hidden").mkdir(parents=True)
    (tmp_path / "photos" / ".hidden" / "x.png").write_bytes(SOME[0])
    rows = read(str(by_class(tmp_path / "photos")))
    assert rows.schema.inputs == ("image",)
    assert rows.schema.target == "label"
    assert rows.column("label") == [shape for shape in SHAPES for _ in range(12)]
    assert str(rows.column("image")[0]) == "bar/0.png"
    assert rows.column("image")[0].read() == (tmp_path / "photos/bar/0.png").read_bytes()


def test_nested_folders_are_one_label_and_a_shared_one_is_none(tmp_path: Path) -> None:
    for place in ("set/Greek/alpha", "set/Greek/beta", "set/Latin/a"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.png").write_bytes(SOME[0])
    assert read(str(tmp_path)).column("label") == ["Greek/alpha", "Greek/beta", "Latin/a"]


def test_an_archive_of_folders_is_the_same_table(tmp_path: Path) -> None:
    by_class(tmp_path / "photos")
    files = sorted(p for p in (tmp_path / "photos").rglob("*.png"))
    archived(tmp_path, "p.zip", {str(f.relative_to(tmp_path)): f.read_bytes() for f in files})
    one, other = read(str(tmp_path / "photos")), read(str(tmp_path / "p.zip"))
    assert one.column("label") == other.column("label")
    assert contents(one) == contents(other)


def test_folders_that_are_parts_are_no_classes(tmp_path: Path) -> None:
    by_class(tmp_path / "d" / "train", 1)
    by_class(tmp_path / "d" / "val", 1)
    said = sentence(lambda: read(os.fspath(tmp_path / "d")))
    d = tmp_path / "d"
    assert said == (
        f"error[DATA_PARTS]: {d}: its folders are parts, not classes: train, val. "
        f"Fix: give each one by itself: {d}/train --validation {d}/val."
    )


def test_a_folder_of_images_without_classes_can_be_predicted_for(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(SOME[0])
    rows = read(str(tmp_path), serving=True)
    assert rows.schema.target is None
    assert rows.schema.inputs == ("image",)
    assert "nothing says which column to predict" in sentence(lambda: read(str(tmp_path)))


def test_one_image_can_be_predicted_for(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(SOME[0])
    rows = read(str(tmp_path / "cat.png"), serving=True)
    assert contents(rows) == [SOME[0]]
    (tmp_path / "empty.png").write_bytes(b"")
    assert sentence(lambda: read(str(tmp_path / "empty.png"))).startswith("error[DATA_EMPTY]: ")


def test_images_and_sounds_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(SOME[0])
    (tmp_path / "2.wav").write_bytes(b"RIFF")
    assert sentence(lambda: read(str(tmp_path))) == (
        f"error[MEDIA_MIXED]: {tmp_path}: it holds images ('1.png') and sounds ('2.wav'). "
        "Fix: keep them apart, or give a table that names both."
    )


def test_an_archive_without_media_says_so(tmp_path: Path) -> None:
    archived(tmp_path, "a.zip", {"train.csv": b"a,b\n"})
    assert sentence(lambda: read(str(tmp_path / "a.zip"))).startswith("error[MEDIA_NONE]: ")


def test_paths_in_a_table_are_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i, content in enumerate(SOME):
        (tmp_path / "images" / f"{i}.png").write_bytes(content)
    assert contents(read(str(table(tmp_path, [f"images/{i}.png" for i in range(30)])))) == SOME


def test_paths_in_a_table_are_members_of_the_archive_that_is_called_like_it(tmp_path: Path) -> None:
    archived(tmp_path, "train_images.zip", {f"{i}.png": content for i, content in enumerate(SOME)})
    archived(tmp_path, "val_images.zip", {f"{i}.png": content for i, content in enumerate(reversed(SOME))})
    cells = [f"{i}.png" for i in range(30)]
    assert contents(read(str(table(tmp_path, cells, "train_annotations.csv")))) == SOME
    assert contents(read(str(table(tmp_path, cells, "val.csv")))) == SOME[::-1]


def test_an_archive_is_joined_to_the_column_that_its_members_are_called_by(tmp_path: Path) -> None:
    archived(tmp_path, "train_images.zip", {f"{100 + i}.jpg": content for i, content in enumerate(SOME)})
    lines = [{"id": 100 + i, "title": f"a thing of many words, number {i}", "kind": SHAPES[i % 3]} for i in range(30)]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    rows = read(str(tmp_path / "train.jsonl"), Hints(target="kind"))
    assert set(rows.schema.inputs) == {"title", "image"}
    assert contents(rows) == SOME


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(SOME[0])
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    home = Folder(tmp_path / "data")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        assert sentence(lambda name=name: home.read(name)) == (
            f"error[DATA_ESCAPE]: '{name}' leads out of the folder '{tmp_path / 'data'}'. "
            "Fix: keep images and sounds below the folder of their table, and write their paths relative to it."
        )
    assert Anywhere().read(str(tmp_path / "secret.png")) == SOME[0]


def test_a_file_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "image_12.png").write_bytes(SOME[0])
    said = sentence(lambda: Folder(tmp_path).read("image_21.png"))
    assert said == "error[MEDIA_NOT_FOUND]: there is no file 'image_21.png'. Fix: did you mean 'image_12.png'?."
    assert "MEDIA_NOT_FOUND" in sentence(lambda: Folder(tmp_path).read("a\0b.png"))
    assert "MEDIA_NOT_FOUND" in sentence(lambda: Folder(tmp_path).read("."))


def test_bytes_in_a_table_are_media(tmp_path: Path) -> None:
    rows = read([{"image": content, "label": SHAPES[i % 3]} for i, content in enumerate(SOME)])
    assert rows.schema.kind("image") == "image"
    assert contents(rows) == SOME
    told = read([{"image": {"bytes": c, "path": f"{i}.png"}, "label": SHAPES[i % 3]} for i, c in enumerate(SOME)])
    assert [str(m) for m in told.column("image")][:2] == ["0.png", "1.png"]
    assert contents(told) == SOME


def test_media_survive_json(tmp_path: Path) -> None:
    rows = read([{"image": content, "label": SHAPES[i % 3]} for i, content in enumerate(SOME)])
    lines = "\n".join(json.dumps(row, default=as_json) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, "utf-8")
    assert contents(read(str(tmp_path / "a.jsonl"), like=rows.schema)) == SOME
    bad = [{"image": {"bytes": "no base64!", "path": "x.png"}}]
    assert sentence(lambda: read(bad, like=rows.schema, serving=True)).startswith("error[MEDIA_BASE64]: ")


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    prints = []
    for content in (SOME[0], SOME[1], SOME[0]):
        (tmp_path / "x.png").write_bytes(content)
        prints.append(read(str(table(tmp_path, ["x.png"] * 30))).fingerprint())
    assert prints[0] != prints[1]
    assert prints[0] == prints[2]


def damaged(folder: Path, count: int = 30) -> Path:
    """Thirty images, of which one is cut off, one empty, and one not there."""
    for i, content in enumerate(SOME):
        content = content[:200] if i == 3 else b"" if i == 7 else content
        if i != 11:
            (folder / f"{i}.png").write_bytes(content)
    return table(folder, [f"{i}.png" for i in range(count)])


def test_every_bad_image_is_a_problem_with_its_row_and_name(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    problems = {p.code: p for p in check(read(str(path)))}
    errors = {c for c, p in problems.items() if p.severity == "error"}
    assert errors == {"IMG_TRUNCATED", "IMG_EMPTY", "MEDIA_NOT_FOUND"}
    assert problems["IMG_EMPTY"].sentence() == (
        f"error[IMG_EMPTY]: {path}:9: the image '7.png' has no bytes. "
        "Fix: copy it again, or leave its row out; --skip-bad 1 leaves such rows out."
    )


def test_as_many_bad_rows_as_allowed_are_left_out_and_counted(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    rows = read(str(path), Hints(skip_bad=3))
    assert len(rows) == 27
    assert rows.numbers.tolist() == [i for i in range(30) if i not in (3, 7, 11)]
    (said,) = [p for p in check(rows) if p.code == "MEDIA_SKIPPED"]
    assert said.sentence() == (
        "warning[MEDIA_SKIPPED]: rows that cannot be used were left out, as --skip-bad allows: 3 rows "
        f"({path}:5: the image '3.png' ends too early). Fix: nothing, if so many are too few to matter."
    )
    assert len(read(str(path), Hints(skip_bad=2))) == 30


def test_images_of_very_different_sizes_are_named(tmp_path: Path) -> None:
    for i in range(30):
        side = 300 if i == 4 else 20
        picture("bar", np.random.default_rng(i), side).save(tmp_path / f"{i}.png")
    (said,) = [p for p in check(read(str(table(tmp_path, [f"{i}.png" for i in range(30)])))) if p.code == "IMG_SIZES"]
    assert said.message == "the images of 'image' are from 20 x 20 pixels ('0.png') to 300 x 300 ('4.png')"


def test_copies_are_found_by_content_and_stay_on_one_side(tmp_path: Path) -> None:
    rows = read([{"image": SOME[i % 20], "label": SHAPES[(i % 20) % 3]} for i in range(30)] * 5)
    (said,) = [p for p in check(rows) if p.code == "DATA_DUPLICATE"]
    assert said.message == "the image of an earlier row comes again in 130 rows"
    assert said.fix == "drop them, or leave them: equal images stay on one side of a split"
    made = split(rows, seed=0)
    held = [{m.digest for m in part.column("image")} for part in (made.train, made.validation, made.test)]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]


def test_equal_images_with_other_labels_and_leaks_are_named() -> None:
    rows = read([{"image": c, "label": SHAPES[i % 3]} for i, c in enumerate([*SOME, SOME[1], SOME[0]])])
    conflict = next(p for p in check(rows) if p.code == "LABEL_CONFLICT")
    assert conflict.message.startswith("the image of an earlier row comes again with another label in 2 rows")
    leak = next(p for p in check(rows, {"test": rows.take([0, 1])}) if p.code == "SPLIT_LEAK")
    assert leak.message == "an image of the training part comes again in 2 rows of the test part (100.0%)"


def test_a_row_keeps_what_was_found_out_about_its_image() -> None:
    rows = pictured(5)
    first: Media = rows.column("image")[0]
    assert rows.take([0]).column("image")[0] is first
    assert opened(first).size == (24, 24)
