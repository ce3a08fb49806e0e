"""An exponential moving average of a network's weights, often a better network than the last step's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Follows ``model``: average = decay * average + (1 - decay) * weights after every step.

    Buffers (the statistics of batch norm, averages already) are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._averaged = {name for name, _ in model.named_parameters()}
        self._state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of one more step."""
        for name, value in model.state_dict().items():
            if name in self._averaged:
                self._state[name].lerp_(value, 1.0 - self.decay)
            else:
                self._state[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """The average, with the keys of the model."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an average that `state_dict` gave; its keys are the model's, already checked."""
        for name, value in self._state.items():
            value.copy_(state[name])
