"""Mean teacher: a moving average of an encoder, for labels, for evaluation and as the result."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reseen.checks import below_one
from reseen.nets.encoder import Encoder
from reseen.nets.mean_network import MeanNetwork


def warmed_up(step: int, steps: int, momentum: float) -> float:
    """Return the momentum of the mean weights at a step: it rises from 0 to its full value.

    min(1 - b / (s + b - 1), A) with b = steps (1 - A), so that A is reached b - 1 steps before
    the end.

    Source: the authors' code of NCPLR (haichuntai/NCPLR-ReID), whose 50 rounds are `steps` here.

    Args:
        step: s, counted from 1.
        steps: of the whole training run.
        momentum: A, 0 to below 1.
    """
    slowness = steps * (1 - momentum)
    return min(1 - slowness / (step + slowness - 1), momentum)


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Settings of a mean teacher: an exponential moving average of the weights of an encoder.

    Source: Tarvainen and Valpola, Mean teachers, NeurIPS 2017; for re-identification without
    labels: Ge et al., Mutual Mean-Teaching, ICLR 2020.
    """

    teacher: bool = False
    """Use a mean teacher (the moving average of the weights) for the features that are clustered,
    for evaluation, and as the result of the run. Cluster Contrast: no."""
    teacher_momentum: float = 0.99
    """Momentum of the mean teacher: the share of its weights that is kept at each step, reached by
    a warm-up over the whole run (A). NCPLR: 0.99."""

    def __post_init__(self):
        below_one(self, "teacher_momentum")

    def follow(self, encoder: Encoder, steps: int) -> "Teacher":
        """Create the teacher of an encoder.

        Args:
            encoder: the encoder that is trained.
            steps: number of steps of the whole run.
        """
        return Teacher(encoder, steps, self.teacher_momentum if self.teacher else None)


class Teacher:
    """The encoder for labels, evaluation and the result: a mean teacher, or the encoder itself.

    Args:
        encoder: the encoder that is trained.
        steps: number of steps of the whole run.
        momentum: of the mean weights after the warm-up; None for no teacher.

    Attributes:
        net: the mean network, or the encoder if there is no teacher.
        parts: what `Run.rounds` must save beside `net`, by name.
    """

    def __init__(self, encoder: Encoder, steps: int, momentum: float | None):
        self._mean = None if momentum is None else MeanNetwork(encoder, momentum=momentum)
        self._momentum, self._steps, self._step = momentum or 0.0, steps, 0
        self.net = self._mean.net if self._mean else encoder
        self.parts: dict[str, Any] = {"student": encoder, "teacher": self} if self._mean else {}

    def update(self) -> None:
        """Update the teacher after a step of the encoder."""
        if self._mean:
            self._step += 1
            self._mean.update(warmed_up(self._step, self._steps, self._momentum))

    def see(self, pixels: Tensor, vectors: Tensor) -> Tensor:
        """Return the teacher's vectors of a batch, without gradient: (B, D) unit rows.

        Args:
            pixels: (B, 3, H, W).
            vectors: (B, D) unit rows, the encoder's own vectors, returned if there is no teacher.
        """
        if not self._mean:
            return vectors.detach()
        with torch.no_grad():
            return self.net(pixels)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates."""
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._step = state["step"]
