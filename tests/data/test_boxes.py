"""Boxes in cells, in tables with a box a row, in COCO files; and what is wrong with them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_samples import boxed, encoded, write_boxed
from sartor.data.boxes import Box
from sartor.data.checks import check
from sartor.data.hints import Hints
from sartor.data.read import read
from sartor.data.rows import Rows
from sartor.errors import BadInput
from sartor.opening import open_data, read_for

CAT = Box("cat", 1.0, 2.0, 11.0, 22.0)


def opened(data: Any, **hints: Any) -> Rows:
    rows, task = read_for(data, Hints(**hints), None)
    assert task.name == "object_detection"
    return rows


def pictures(folder: Path, count: int = 24, size: tuple[int, int] = (40, 30)) -> list[str]:
    from PIL import Image

    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(encoded(Image.new("RGB", size, (i, 200, 100))))
    return names


@pytest.mark.parametrize(
    "cell",
    [
        [{"label": "cat", "box": [1, 2, 11, 22]}],
        [{"category": "cat", "xyxy": [1, 2, 11, 22]}],
        [{"name": "cat", "bbox": [1, 2, 10, 20]}],
        [{"class": "cat", "xywh": [1.0, 2.0, 10.0, 20.0]}],
        [{"label": "cat", "xmin": 1, "ymin": 2, "xmax": 11, "ymax": 22}],
        [{"label": "cat", "left": 1, "top": 2, "right": 11, "bottom": 22}],
        [{"label": "cat", "x": 1, "y": 2, "width": 10, "height": 20}],
        {"bbox": [[1, 2, 10, 20]], "category": ["cat"], "id": [7]},
        '[{"label": "cat", "box": [1, 2, 11, 22]}]',
    ],
    ids=str,
)
def test_every_form_of_a_box_becomes_corners(cell: Any) -> None:
    none: Any = {dict: {"bbox": [], "category": []}, str: "[]"}.get(type(cell), [])
    rows = opened([{"image": "a.png", "objects": cell}, {"image": "b.png", "objects": none}])
    assert list(rows.columns["objects"]) == [[CAT], []]
    assert rows.schema.kind("objects") == "boxes"
    assert rows.schema.inputs == ("image",)


def test_numbers_in_place_of_labels_are_places_among_the_declared_ones() -> None:
    rows = opened([{"image": "a.png", "objects": [{"category": 1, "box": [1, 2, 11, 22]}]}], labels=("dog", "cat"))
    assert rows.columns["objects"][0] == [CAT]
    with pytest.raises(BadInput, match=r"BOX_LABEL.*label number 2, and 2 labels are named"):
        opened([{"image": "a.png", "objects": [{"category": 2, "box": [1, 2, 11, 22]}]}], labels=("dog", "cat"))


def test_a_crowd_is_kept_as_one() -> None:
    rows = opened([{"image": "a.png", "objects": [{"label": "cat", "bbox": [1, 2, 10, 20], "iscrowd": 1}]}])
    assert rows.columns["objects"][0] == [CAT._replace(crowd=True)]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("none", "error[BOX_LIST]: rows:1: the cell holds no list of boxes."),
        ([{"label": "cat"}], "error[BOX_KEYS]: rows:1: object 1 has no box, only 'label'."),
        ([{"label": "cat", "box": [1, 2, 3]}], "error[BOX_NUMBERS]: rows:1: the box of object 1 has 3 numbers."),
        ([{"label": "cat", "box": [1, 2, 3, "x"]}], "error[BOX_NUMBERS]: rows:1: 'x' in the box of object 1 is no"),
        ([{"label": "cat", "box": [1, 2, 3, float("nan")]}], "error[BOX_NUMBERS]: rows:1: 'nan' in the box of object"),
        ([{"label": "", "box": [1, 2, 3, 4]}], "error[BOX_LABEL]: rows:1: object 1 has no label."),
        ({"bbox": [[1, 2, 3, 4]], "category": []}, "error[BOX_LISTS]: rows:1: there are 1 bbox and 0 category."),
    ],
    ids=str,
)
def test_a_cell_that_holds_no_boxes_is_refused_with_a_sentence(cell: Any, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        read([{"image": "a.png", "objects": cell}], Hints(target="objects", kinds={"objects": "boxes"}))
    assert str(raised.value).startswith(said)
    assert " Fix: " in str(raised.value)


def test_a_table_with_a_box_in_every_row_becomes_one_with_an_image_in_every_row(tmp_path: Path) -> None:
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax,patient", "a.jpg,40,30,cat,1,2,11,22,x"]
    lines += ["b.jpg,40,30,,,,,,y", "a.jpg,40,30,dog,3,4,5,6,x"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines), "utf-8")
    rows = opened(str(tmp_path / "boxes.csv"), group="patient")
    assert [str(m) for m in rows.columns["filename"]] == ["a.jpg", "b.jpg"]
    assert list(rows.columns["objects"]) == [[CAT, Box("dog", 3.0, 4.0, 5.0, 6.0)], []]
    assert rows.lines.tolist() == [2, 3]
    assert list(rows.columns["patient"]) == ["x", "y"]


def test_a_box_that_misses_a_number_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,label,x,y,w,h\na.jpg,cat,1,2,3,4\na.jpg,cat,1,2,,4\n", "utf-8")
    with pytest.raises(BadInput, match=r"BOX_NUMBERS\]: .*boxes.csv:3: a number of the box of the row is missing"):
        opened(str(tmp_path / "boxes.csv"))


COCO: dict[str, Any] = {
    "images": [{"id": 5, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 10, 20], "iscrowd": 0}],
}


def coco(path: Path, **changed: Any) -> str:
    content = json.dumps(COCO | changed, indent=1).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.mark.parametrize("name", ["train.json", "train.json.gz"])
def test_a_coco_file_is_read(name: str, tmp_path: Path) -> None:
    rows = opened(coco(tmp_path / name))
    assert [str(m) for m in rows.columns["image"]] == ["a.png", "b.png"]
    assert list(rows.columns["objects"]) == [[CAT], []]


def test_a_coco_file_on_one_line_is_read_and_its_images_may_lie_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pictures(tmp_path / "images", 2)
    found = {**COCO, "images": [{"id": 5, "file_name": "0.png"}, {"id": 9, "file_name": "1.png"}]}
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(found), "utf-8")
    rows = opened(str(tmp_path))
    assert [str(m) for m in rows.columns["image"]] == ["images/0.png", "images/1.png"]
    assert rows.columns["image"][0].read().startswith(b"\x89PNG")


def test_json_lines_are_no_coco_file(tmp_path: Path) -> None:
    row = json.dumps({"image": "a.png", "objects": [{"label": "cat", "box": [1, 2, 11, 22]}]})
    for text in (row, f"{row}\n{row}\n"):
        (tmp_path / "x.json").write_text(text, "utf-8")
        assert opened(str(tmp_path / "x.json")).columns["objects"][0] == [CAT]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"annotations": [{"image_id": 6, "category_id": 3, "bbox": [1, 2, 3, 4]}]}, "no image with the id 6"),
        ({"annotations": [{"image_id": 5, "category_id": 4, "bbox": [1, 2, 3, 4]}]}, "no category with the id 4"),
        ({"annotations": [{"image_id": 5, "category_id": 3}]}, "the annotation has no 'bbox'"),
        ({"images": [{"id": 5, "file_name": "a.png"}, {"id": 5, "file_name": "b.png"}]}, "image id 5 stands twice"),
        ({"images": [{"id": 5}]}, "the image 5 has no file_name"),
        ({"images": []}, "the file names no image"),
        ({"categories": None}, "the file has no list of categories"),
    ],
    ids=str,
)
def test_what_refers_to_nothing_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        opened(coco(tmp_path / "train.json", **changed))
    assert " Fix: " in str(raised.value)


Wrong = Callable[[list[Any]], Rows]


@pytest.fixture
def wrong(tmp_path: Path) -> Wrong:
    """Twenty-four images of 40 x 30 pixels with a good box each, but for the first ones, which have those given."""

    def make(boxes: list[Any]) -> Rows:
        names = pictures(tmp_path)
        good: list[Any] = [[1, 2, 11, 22]] * (len(names) - len(boxes))
        rows = [
            {"image": name, "objects": [{"label": "cd"[i % 2], "box": box}]}
            for i, (name, box) in enumerate(zip(names, [*boxes, *good], strict=True))
        ]
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return opened(str(tmp_path / "train.jsonl"))

    return make


@pytest.mark.parametrize(
    ("box", "code", "said"),
    [
        ([11, 2, 1, 22], "BOX_INVERTED", "the box [11, 2, 1, 22] of 'c' ends before it begins"),
        ([11, 2, 11, 22], "BOX_AREA", "the box [11, 2, 11, 22] of 'c' has no area"),
        ([11, 2, 45, 22], "BOX_OUTSIDE", "the box [11, 2, 45, 22] of 'c' is not inside its image of 40 x 30 pixels"),
        ([50, 2, 60, 22], "BOX_OUTSIDE", "the box [50, 2, 60, 22] of 'c' is not inside its image of 40 x 30 pixels"),
        ([-9, 2, 11, 22], "BOX_OUTSIDE", "the box [-9, 2, 11, 22] of 'c' is not inside its image of 40 x 30 pixels"),
    ],
)
def test_a_wrong_box_is_an_error_that_names_it(box: list[int], code: str, said: str, wrong: Wrong) -> None:
    (problem,) = [p for p in check(wrong([box])) if p.severity == "error"]
    assert problem.code == code
    assert problem.message == said
    assert problem.fix == "correct the box, or leave it out; --skip-bad 1 leaves such rows out"
    assert problem.places[0].endswith("train.jsonl:1")


def test_as_many_wrong_boxes_as_allowed_are_left_out_and_counted(wrong: Wrong, tmp_path: Path) -> None:
    wrong([[11, 2, 1, 22], [5, 5, 5, 9]])
    (tmp_path / "3.png").write_bytes(b"no image")
    path = str(tmp_path / "train.jsonl")
    rows = opened(path, skip_bad=3)
    assert len(rows) == 21
    assert sum("ends before it begins" in said for said in rows.left_out) == 1
    assert [p.code for p in check(rows) if p.severity == "error"] == []
    assert "MEDIA_SKIPPED" in [p.code for p in check(rows)]
    assert len(opened(path, skip_bad=2)) == 24


def test_a_box_that_reaches_over_the_border_a_little_is_cut_there_with_a_warning(wrong: Wrong) -> None:
    rows = wrong([[-1, 0, 41.5, 30]])
    problems = check(rows)
    assert [p.code for p in problems if p.severity == "error"] == []
    assert "BOX_BORDER" in [p.code for p in problems]
    from sartor.classical.boxing import shares

    assert shares(rows, ("c", "d"))[0, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_sizes_under_the_key_of_corners_are_recognised(wrong: Wrong) -> None:
    """x, y, width and height where corners are expected."""
    (problem,) = [p for p in check(wrong([[20, 10, 15, 12]] * 24)) if p.severity == "error"]
    assert problem.code == "BOX_INVERTED"
    assert problem.fix == "they fit as sizes: call the key 'bbox', which is x, y, width, height"


def test_the_same_box_twice_is_a_warning(wrong: Wrong, tmp_path: Path) -> None:
    rows = wrong([])
    rows.columns["objects"][3].append(rows.columns["objects"][3][0])
    assert "BOX_TWICE" in [p.code for p in check(rows)]


def test_images_without_boxes_are_legal_and_no_box_at_all_is_an_error(tmp_path: Path) -> None:
    rows = boxed(30)
    assert [] in rows.columns["objects"]
    assert [p for p in check(rows) if p.severity == "error"] == []
    said = [{**row, "objects": []} for row in write_boxed(tmp_path, rows)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), "utf-8")
    with pytest.raises(BadInput, match=r"LABEL_SINGLE.*no image has a box"):
        open_data(str(tmp_path / "train.jsonl"), Hints(), None, None, None, 0)


def test_a_given_part_may_hold_no_class_that_training_lacks() -> None:
    train, part = boxed(30), boxed(25, 1)
    part.columns["objects"][0].append(Box("ghost", 1.0, 1.0, 9.0, 9.0))
    (problem,) = [p for p in check(train, {"validation": part}) if p.code == "LABEL_UNKNOWN"]
    assert problem.message == "the class 'ghost' is not one of the training part: 'bar', 'disc', 'frame'"


def test_a_split_keeps_the_shares_of_the_classes() -> None:
    from sartor.data.split import split

    made = split(boxed(100), seed=0)
    assert made.how.startswith("stratified by the classes in 'objects'")
    assert made.sizes() == {"train": 60, "validation": 20, "test": 20}
