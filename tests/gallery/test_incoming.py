from reseen.gallery import incoming as module
from reseen.gallery.incoming import incoming
from reseen.video.folder import CropFolder
from tests.video.test_folder import SETTINGS, tracklet


def test_of_a_list_that_grows_only_what_is_new_is_read(tmp_path, monkeypatch):
    folder, starts = CropFolder(tmp_path, SETTINGS), []
    read = module._video_rows

    def counted(manifest, wanted, start=0):
        starts.append(start)
        return read(manifest, wanted, start)

    def frames(image):
        return [coming.crop.frame for coming in incoming([image])[0]]

    monkeypatch.setattr(module, "_video_rows", counted)
    manifest = tmp_path / "manifest.csv"
    first = folder.write(tracklet(), "door")
    assert frames(first) == [0, 7, 14]
    end = manifest.stat().st_size
    second = folder.write(tracklet("a-000009", 2), "yard")
    assert frames(second) == [0, 7]
    assert starts == [0, end]
    assert frames(first) == [0, 7, 14]  # from the beginning, where it is not among what is new
    assert starts[2:] == [manifest.stat().st_size, 0]

    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-20])  # a line that is being written is not half read
    assert frames(second) == [0, None] and frames(first) == [0, 7, 14]
    manifest.write_bytes(whole)
    assert frames(second) == [0, 7]
    manifest.write_bytes(whole.splitlines(keepends=True)[0] + whole[end:])  # made anew
    assert frames(second) == [0, 7] and frames(first) == [None] * 3
    manifest.write_bytes(b"path,camera\n" + whole)
    assert frames(second) == [None] * 2
