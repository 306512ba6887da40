"""An order: the parameters of one generation, the same for every provider's API."""

from dataclasses import dataclass
from typing import Literal

MediaType = Literal["image", "video"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Order:
    """Valid parameters: ``count`` images, or one video of ``duration_s`` seconds (0 for images)."""

    type: MediaType
    model: str
    prompt: str
    width: int
    height: int
    count: int = 1
    seed: int = 0
    duration_s: int = 0
    extend_prompt: bool = True
    suffix: str = ".png"


def parse_size(size: object, separator: str = "*") -> Size:
    """Read "1280*720"; raises ``ValueError`` for anything else."""
    width, height = (int(side) for side in str(size).split(separator))
    return width, height
