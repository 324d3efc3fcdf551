"""Features of people in a frame, computed by an encoder."""

import numpy as np
import PIL.Image
import torch

from reseen.data.loading import resized
from reseen.nets.encoder import Encoder
from reseen.video.pipeline import Look


def looks(encoder: Encoder) -> Look:
    """Return the function that gives a tracker the features of boxes.

    Args:
        encoder: used in evaluation mode.
    """
    height, width = encoder.settings.height, encoder.settings.width
    encoder.eval()

    @torch.inference_mode()
    def look(pixels: np.ndarray, boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
        if not boxes:
            return np.zeros((0, encoder.dimensions), np.float32)
        pictures = [PIL.Image.fromarray(pixels[y0:y1, x0:x1]) for x0, y0, x1, y1 in boxes]
        crops = np.stack([resized(picture, height, width) for picture in pictures])
        return encoder(torch.from_numpy(crops).to(encoder.device)).float().cpu().numpy()

    return look
