import pytest

from reseen.data.reading import read
from reseen.video import feed
from reseen.video.feed import Feed
from reseen.video.folder import CropFolder
from tests.video.test_folder import SETTINGS, tracklet


class Full(Exception):  # noqa: N818
    pass


def test_each_tracklet_is_given_once_also_after_a_stop(tmp_path, monkeypatch):
    folder, got = CropFolder(tmp_path, SETTINGS), []
    folder.write(tracklet(), "door")  # before there was a gallery
    own = Feed(folder, "g", got.extend)
    own.offer(folder.write(tracklet("a-000009", 2), "yard"))
    own.give(now=False)
    assert not got  # it waits for more
    own.give()
    assert [len(image.frames) for image in got] == [3, 2]
    assert [(i.path, i.frames, i.time) for i in got] == [
        (i.path, i.frames, i.time) for i in read(tmp_path).train
    ]

    def fails(_):
        raise Full

    broken = Feed(folder, "g", fails)
    broken.offer(folder.write(tracklet("a-000020", 4), "door"))
    with pytest.raises(Full):
        broken.give()
    again = []
    monkeypatch.setattr(feed, "EVERY", -1)
    later = Feed(CropFolder(tmp_path, SETTINGS), "g", again.extend)
    later.give(now=False)
    later.give()
    assert [len(image.frames) for image in again] == [4]
    other = []
    Feed(CropFolder(tmp_path, SETTINGS), "other", other.extend).give()
    assert len(other) == 3
