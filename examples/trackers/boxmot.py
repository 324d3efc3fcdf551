"""BoxMOT (25, AGPL-3.0) with an encoder of reseen: `reseen export RUN --for boxmot -o person.onnx`.

It crops, stretches, turns BGR to RGB, divides by 255 and applies ImageNet's mean and std, which is
what the file takes; height and width are those of the file. Keep "veri" and "vehicleid" out of its
name, which mean other sizes there. It installs an onnxruntime of its own version if yours is
another one.
"""

import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    from boxmot import BotSort

    tracker = BotSort(reid_weights=Path("person.onnx"), device="cpu", half=False)
    frame = np.zeros((480, 640, 3), np.uint8)  # a frame of your video, BGR
    boxes = np.array([[100, 50, 180, 250, 0.9, 0]])  # x1, y1, x2, y2, score, class
    print(tracker.update(boxes, frame), file=sys.stderr)
