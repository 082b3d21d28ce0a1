"""Dropout that draws a byte a value.

PyTorch draws a whole random number for each value, one after the other on a CPU: an eighth of the time of a training step. Here
a 64-bit number serves eight values. The rate is rounded to a multiple of 1/256 (0.1 becomes 0.1016), and what is kept is scaled
by the rounded rate, so that the mean stays what it was (Srivastava et al., "Dropout", JMLR 2014).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LEVELS = 256


def use_byte_dropout(model: torch.nn.Module) -> None:
    """Replace a model's dropout layers; those whose rate is too small or too large to be rounded stay."""
    import torch

    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is torch.nn.Dropout and 0 < round(LEVELS * child.p) < LEVELS:
                setattr(module, name, _byte_dropout()(child.p))


@cache
def _byte_dropout() -> Any:
    import torch

    class ByteDropout(torch.nn.Dropout):  # type: ignore[misc]
        """Sets values to 0 while the model trains."""

        @property
        def dropped(self) -> int:
            """Of 256 values, how many are dropped in the mean."""
            return round(LEVELS * float(self.p))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            """Drop values of a tensor of any shape."""
            if not self.training:
                return values
            words = torch.empty(-(-values.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
            kept = words.view(torch.uint8)[: values.numel()].view(values.shape) >= self.dropped
            return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - self.dropped))

    return ByteDropout
