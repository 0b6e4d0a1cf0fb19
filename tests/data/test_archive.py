from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest

from sartor.data.archive import Archive
from sartor.errors import BadInput


def packed(folder: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as raised:
        _ = Archive(path, "a.zip").members
    return str(raised.value)


@pytest.mark.parametrize("name", ["../../x.png", "/x.png", "c:\\x.png", "a\\..\\x.png", "a/../../x.png"])
def test_a_name_that_leads_out_refuses_the_archive(name: str, tmp_path: Path) -> None:
    path = packed(tmp_path, {"ok.png": b"1", "@" * len(name): b"2"})
    path.write_bytes(path.read_bytes().replace(b"@" * len(name), name.encode()))
    assert refusal(path) == (
        f"error[ARC_ESCAPE]: a.zip: the member '{name}' leads out of the archive. "
        "Fix: make it again with relative names."
    )


def test_a_link_refuses_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("cat/1.png")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    assert refusal(tmp_path / "a.zip") == (
        "error[ARC_LINK]: a.zip: the member 'cat/1.png' is a link. "
        "Fix: make the archive again with the files themselves."
    )


def test_a_bomb_refuses_the_archive(tmp_path: Path) -> None:
    path = packed(tmp_path, {"cat/1.png": bytes(30 << 20)})
    assert refusal(path) == (
        "error[ARC_BOMB]: a.zip: the member 'cat/1.png' unpacks to more than 1000 times its size. Fix: leave it out."
    )


def test_a_member_that_claims_gigabytes_refuses_the_archive(tmp_path: Path) -> None:
    path = packed(tmp_path, {"cat/1.png": b"1" * 100}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: at + 24] + struct.pack("<I", 3 << 30) + content[at + 28 :])
    assert refusal(path).startswith("error[ARC_BOMB]: a.zip: the member 'cat/1.png' unpacks to 3,072 MB.")


def test_an_encrypted_member_refuses_the_archive(tmp_path: Path) -> None:
    path = packed(tmp_path, {"cat/1.png": b"1"})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    assert refusal(path) == (
        "error[ARC_ENCRYPTED]: a.zip: the member 'cat/1.png' is encrypted. "
        "Fix: make the archive again without a password."
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_refuses_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for _ in range(2):
            archive.writestr("cat/1.png", "1")
    assert refusal(tmp_path / "a.zip") == (
        "error[ARC_DUPLICATE]: a.zip: two members are called 'cat/1.png'. Fix: make the archive again, each name once."
    )


def test_members_that_share_bytes_refuse_the_archive(tmp_path: Path) -> None:
    path = packed(tmp_path, {"1.png": b"1" * 1000, "2.png": b"2" * 1000}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: at + 42] + struct.pack("<I", 0) + content[at + 46 :])
    assert refusal(path) == (
        "error[ARC_OVERLAP]: a.zip: the members '1.png' and '2.png' share bytes. Fix: make the archive again."
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"hello"])
def test_what_is_no_archive_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    said = "error[ARC_CORRUPT]: a.zip: this is no whole zip archive. Fix: copy or make it again."
    assert refusal(tmp_path / "a.zip") == said


def test_a_damaged_member_is_said_when_it_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path, {"1.png": b"1" * 50, "2.png": b"2" * 50}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"2" * 50, b"3" * 50))
    archive = Archive(path, "a.zip")
    assert archive.read("1.png") == b"1" * 50
    with pytest.raises(BadInput) as raised:
        archive.read("2.png")
    assert str(raised.value) == (
        "error[ARC_CORRUPT]: '2.png' in 'a.zip' cannot be unpacked (BadZipFile). "
        "Fix: copy or make the archive again, or leave the row out."
    )


def test_a_member_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    archive = Archive(packed(tmp_path, {"cat/1.png": b"1", "cat/12.png": b"2"}), "a.zip")
    with pytest.raises(BadInput) as raised:
        archive.read("cat/122.png")
    assert str(raised.value) == (
        "error[MEDIA_NOT_FOUND]: there is no 'cat/122.png' in 'a.zip'. Fix: did you mean 'cat/12.png'?."
    )


def test_names_are_found_with_and_without_the_folder_that_all_lie_in(tmp_path: Path) -> None:
    archive = Archive(packed(tmp_path, {"images/a/1.png": b"1", "images/b/2.png": b"2", "__MACOSX/x": b""}), "a.zip")
    assert archive.root == "images/"
    assert archive.find("a/1.png") == archive.find("images/a/1.png") == "images/a/1.png"
    assert archive.find("./a/1.png") == "images/a/1.png"
    assert archive.find("1.png") is None
    assert sorted(archive.members) == ["images/a/1.png", "images/b/2.png"]


def test_nothing_is_written(tmp_path: Path) -> None:
    archive = Archive(packed(tmp_path, {"a/1.png": b"1"}), "a.zip")
    archive.read("a/1.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_an_archive_in_an_archive_is_no_folder(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("1.png", "1")
    assert list(Archive(packed(tmp_path, {"inner.zip": inner.getvalue()}), "a.zip").members) == ["inner.zip"]
