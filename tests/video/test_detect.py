import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from reseen.errors import SettingsError
from reseen.metrics.tracking import iou
from reseen.video import detect
from reseen.video.detect import DEFAULT, load_detector, suppress

PIXELS = np.zeros((100, 200, 3), np.uint8)


def model(path, size=(64, 64), **answers):
    """Write an ONNX model that answers the same whatever it is shown."""
    nodes, outputs = [], []
    for name, value in answers.items():
        value = np.asarray(value)
        constant = numpy_helper.from_array(value, f"{name}-value")
        nodes.append(helper.make_node("Constant", [], [name], value=constant))
        kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
        outputs.append(helper.make_tensor_value_info(name, kind, value.shape))
    # the mean of the picture is an output nobody reads: the input must be used
    asked = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *size])
    graph = helper.make_graph(nodes, "fixed", [asked], outputs)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


def test_the_detector_that_ships_finds_invented_people(town_film):
    detector = load_detector()
    found, seen = 0, 0
    for frame in town_film[1][6:24:3]:
        boxes = detector(frame.pixels)
        assert boxes.shape[1] == 5 and (boxes[:, 4] <= 1).all()
        sure = boxes[boxes[:, 4] > 0.5]
        whole = frame.hidden < 0.3
        seen += whole.sum()
        found += (iou(frame.boxes[whole], sure).max(1, initial=0) > 0.5).sum()
    assert found > 0.6 * seen and seen > 6
    assert len(detector(np.full((120, 160, 3), 110, np.uint8))) == 0


def test_its_licence_and_origin_lie_beside_it():
    note = DEFAULT.with_suffix(".md").read_text()
    assert "Apache License, Version 2.0" in note and "open_model_zoo" in note
    for suffix in (".xml", ".bin"):
        from hashlib import sha256

        assert sha256(DEFAULT.with_suffix(suffix).read_bytes()).hexdigest() in note


FLOAT = np.float32


@pytest.mark.parametrize(
    "answers",
    [
        dict(out=FLOAT([[[[0, 1, 0.9, 0.1, 0.2, 0.3, 0.8], [-1, 0, 0, 0, 0, 0, 0]]]])),
        # 64 x 64, of which 100 x 200 fill the rows 16 to 48
        dict(out=FLOAT([[[6.4, 22.4, 19.2, 41.6, 0.9, 0], [0, 20, 9, 40, 0.9, 2]]])),
        dict(out=FLOAT([np.repeat([[12.8], [32], [12.8], [19.2], [0.9], [0.05]], 9, axis=1)])),
        dict(
            boxes=FLOAT([[6.4, 22.4, 19.2, 41.6], [0, 20, 9, 40]]),
            labels=np.array([1, 3]),
            scores=FLOAT([0.9, 0.9]),
        ),
        dict(
            dets=FLOAT([[[0.2, 0.5, 0.2, 0.6], [0.5, 0.5, 0.1, 0.1]]]),
            labels=FLOAT([[[-9, np.log(9), -9], [-9, -9, 5]]]),
        ),
    ],
    ids=["open-model-zoo", "end-to-end", "grid", "torchvision", "transformer"],
)
def test_answers_of_every_kind_are_read(tmp_path, answers):
    """One person at 20 to 60 across and 20 to 80 down, and something that is none."""
    (found,) = load_detector(model(tmp_path / "m.onnx", **answers))(PIXELS)
    assert found == pytest.approx([20, 20, 60, 80, 0.9], abs=0.01)


def test_pixels_are_put_as_each_kind_expects_them():
    pixels = np.full((100, 200, 3), (255, 0, 51), np.uint8)
    stretched = detect._stretched(pixels, 64, 64)
    assert stretched.shape == (1, 3, 64, 64) and stretched[0, :, 32, 32].tolist() == [51, 0, 255]
    boxed = detect._boxed(pixels, 64, 64)
    assert boxed[0, :, 32, 32] == pytest.approx([1, 0, 0.2])
    assert boxed[0, :, 10, 32] == pytest.approx([114 / 255] * 3)
    normal = detect._normalised(pixels, 64, 64)[0, :, 5, 5]
    assert normal == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225])


def test_boxes_are_cut_at_the_border_and_weak_ones_left_out(tmp_path):
    rows = [[0, 1, 0.9, -0.5, 0.2, 1.5, 2], [0, 1, 0.05, 0.1, 0.1, 0.2, 0.2]]
    path = model(tmp_path / "m.onnx", out=FLOAT([[rows]]))
    assert load_detector(path)(PIXELS) == pytest.approx(np.array([[0, 20, 200, 100, 0.9]]))


def test_of_boxes_that_overlap_the_best_stays():
    boxes = np.array([(0, 0, 10, 20, 0.5), (1, 0, 11, 20, 0.9), (30, 0, 40, 20, 0.4)])
    assert suppress(boxes, 0.6)[:, 4].tolist() == [0.9, 0.4]
    assert suppress(boxes, 0.9)[:, 4].tolist() == [0.9, 0.5, 0.4]


def test_what_cannot_be_used(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.onnx is not a file"):
        load_detector(tmp_path / "gone.onnx")
    odd = model(tmp_path / "odd.onnx", a=FLOAT([[1, 2]]), b=FLOAT([1]))
    with pytest.raises(SettingsError, match=r"has the outputs a \(1, 2\), b \(1,\), which are"):
        load_detector(odd)
    for name, who in (("x.onnx", "ONNX Runtime"), ("x.xml", "OpenVINO")):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(SettingsError, match=f"cannot be read by {who}"):
            load_detector(tmp_path / name)
    with pytest.raises(SettingsError, match=r"no detector yolo.*ssdlite320_mobilenet_v3_large"):
        load_detector("yolo")


def test_torchvision_detectors_fetch_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=r"ssdlite320_.*\.pth does not exist, and nothing is"):
        load_detector("ssdlite320_mobilenet_v3_large")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(SettingsError, match=r"other\.pth does not hold weights of ssdlite"):
        load_detector("ssdlite320_mobilenet_v3_large", tmp_path / "other.pth")


def test_a_torchvision_detector_gives_its_people(tmp_path, monkeypatch):
    class Fixed(torch.nn.Module):
        def forward(self, pictures):
            assert pictures[0].shape == (3, 100, 200) and float(pictures[0].max()) <= 1
            boxes = torch.tensor([[20.0, 20, 60, 80], [0, 0, 5, 5]])
            return [dict(boxes=boxes, labels=torch.tensor([1, 2]), scores=torch.tensor([0.9, 0.9]))]

    torch.save({}, tmp_path / "w.pth")
    monkeypatch.setattr("torchvision.models.get_model", lambda name, **how: Fixed())
    found = load_detector("ssdlite320_mobilenet_v3_large", tmp_path / "w.pth")(PIXELS)
    assert found == pytest.approx(np.array([[20, 20, 60, 80, 0.9]]))


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setattr("reseen.errors.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs openvino, .* 'reseen\[video\]'"):
        load_detector()


def test_openvino_is_asked_for_no_telemetry(town_film, monkeypatch):
    """Only its conversion of models reports; reading and running one does not."""
    import openvino_telemetry

    def report(*_, **__):
        raise AssertionError("telemetry")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "__init__", report)
    monkeypatch.setattr(openvino_telemetry.Telemetry, "send_event", report)
    load_detector()(town_film[1][10].pixels)
    assert "reseen" in sys.modules and Path(DEFAULT).exists()
