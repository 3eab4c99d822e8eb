"""Text written token by token, as it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from objectives.cutting import handed
from objectives.settings import Generation


def written(model: Any, inputs: Mapping[str, Tensor], how: Generation, most: int) -> list[list[int]]:
    """The tokens that the model writes for each row, `most` at the most unless `how` says another, padded."""
    found: Tensor = model.generate(
        **handed(model, inputs),
        do_sample=False,
        num_beams=how.num_beams,
        max_new_tokens=how.max_new_tokens or most,
        no_repeat_ngram_size=how.no_repeat_ngram_size,
        **({"length_penalty": how.length_penalty} if how.num_beams > 1 else {}),
    )
    return found.tolist()
