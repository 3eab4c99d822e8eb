"""What a companion study retrains: some configurations of a study, each with the same fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpo.space import Value

SUFFIX = "@promote"
SEED, STOP, SHOTS = "training.seed", "training.stop", "data.shots"
Fit = Literal["train", "all"]


@dataclass(frozen=True)
class Candidate:
    """A configuration of the study: its parameters, the trial that it comes from with that one's value, and the
    evaluation after which to end. `defaults` says that it is the objective as the file writes it; that one may come
    from no trial, and have no end of its own."""

    params: Mapping[str, Value]
    number: int | None = None
    value: float | None = None
    stop: int | None = None
    defaults: bool = False

    @property
    def shots(self) -> Value:
        """The training rows of each class, where these are searched; None for all."""
        return self.params.get(SHOTS)


@dataclass(frozen=True)
class Promotion:
    """The best `top` configurations of a study beside its defaults, what they are fitted on, and the fresh seeds."""

    study: str
    top: int
    fit: Fit
    seeds: tuple[int, ...]
    candidates: tuple[Candidate, ...]

    @property
    def companion(self) -> str:
        """The name of the study that retrains them."""
        return f"{self.study}{SUFFIX}"

    @property
    def alone(self) -> str:
        """Why it can have no other name."""
        return f"{self.companion} belongs to {self.study}, and has no name or copy of its own"

    @property
    def points(self) -> list[dict[str, Value]]:
        """Every configuration with every seed, seed by seed, so that half of them already compare."""
        return [self.point(candidate, seed) for seed in self.seeds for candidate in self.candidates]

    def point(self, candidate: Candidate, seed: int) -> dict[str, Value]:
        """The parameters of one retraining."""
        return {**candidate.params, STOP: candidate.stop, SEED: seed}

    def keeps(self, params: Mapping[str, Any]) -> bool:
        """Whether the model of the retraining with these parameters is kept: of each configuration the first."""
        return bool(params[SEED] == self.seeds[0])

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; `from_dict` reads it back."""
        return asdict(self)

    @staticmethod
    def from_dict(kept: Mapping[str, Any]) -> Promotion:
        """The promotion that `to_dict` gave."""
        candidates: Sequence[Mapping[str, Any]] = kept["candidates"]
        made = tuple(Candidate(**candidate) for candidate in candidates)
        return Promotion(kept["study"], kept["top"], kept["fit"], tuple(kept["seeds"]), made)
