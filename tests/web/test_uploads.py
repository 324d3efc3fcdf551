import struct
import zlib
from io import BytesIO

import pytest
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from reseen.web.uploads import Held, Limits, file_name, read_all, read_uploads
from tests.web.conftest import photo


def files(*contents, name="a.png"):
    return [UploadFile(BytesIO(content), filename=name) for content in contents]


def bomb(width: int, height: int) -> bytes:
    """Make a PNG of few bytes that says to hold many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_pictures_are_read_and_others_are_said():
    read, broken = read_uploads(files(photo(1), b"no picture", photo(2, kind="JPEG")), Limits())
    assert [upload.content for upload in read] == [photo(1), photo(2, kind="JPEG")]
    assert read[0].picture().size == (24, 48) and len(read[0].id) == 32
    assert len(broken) == 1 and broken[0].startswith("a.png: it is not an image (JPEG, PNG")
    with pytest.raises(HTTPException, match=r"a\.png: it is not an image"):
        read_all(files(photo(1), b"no picture"), Limits())


@pytest.mark.parametrize(
    ("width", "says"), [(8_000, "only 50,000,000 more are allowed"), (60_000, "exceeds limit")]
)
def test_few_bytes_that_unpack_into_many_pixels_are_not_unpacked(width, says):
    content = bomb(width, width)
    assert len(content) < 1000
    read, broken = read_uploads(files(content), Limits())
    assert not read and says in broken[0]


def test_many_pictures_have_no_more_room_than_one():
    read, broken = read_uploads(files(photo(1), photo(2), photo(3)), Limits(pixels=24 * 48 * 2))
    assert (len(read), len(broken)) == (2, 1) and "24 x 48 pixels" in broken[0]


@pytest.mark.parametrize("content", [photo()[:300], b"GIF89a", b"<svg/>", b"%!PS-Adobe", b""])
def test_spoilt_files_and_other_kinds_are_no_pictures(content):
    read, broken = read_uploads(files(content), Limits())
    assert not read and len(broken) == 1


def test_no_file_and_too_many_are_refused():
    with pytest.raises(HTTPException, match="No picture was sent") as error:
        read_uploads(files(b"", name=""), Limits())
    assert error.value.status_code == 422
    with pytest.raises(HTTPException, match="3 pictures were sent") as error:
        read_uploads(files(*[photo()] * 3), Limits(pictures=2))
    assert error.value.status_code == 413


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a b.png", "a b.png"),
        ("a\r\nb\0c.png", "abc.png"),
        ("..", "picture-7"),
        ("", "picture-7"),
        (None, "picture-7"),
        ("x" * 300 + ".jpg", "x" * 96 + ".jpg"),
    ],
)
def test_names_of_files_hold_no_folders(given, kept):
    assert file_name(given, 7) == kept


def test_the_oldest_is_let_go_of():
    held = Held(2, room=10)
    first, second = held.keep("first"), held.keep("second")
    assert (held.get(first), held.get(second), held.get("else")) == ("first", "second", None)
    third = held.keep("third", 6)
    assert (held.get(first), held.get(second)) == (None, "second")
    fourth = held.keep("fourth", 6)
    assert (held.get(third), held.get(fourth)) == (None, "fourth")
    held.clear()
    assert held.get(fourth) is None
