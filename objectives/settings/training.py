"""How a model is trained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from objectives.settings.setting import Setting, Share


class Training(Setting):
    """How it is trained. A step of the trial is an evaluation, counted from 1."""

    epochs: int = Field(3, ge=0, description="0 evaluates once what is not trained")
    evaluations_per_epoch: int = Field(1, ge=1)
    optimizer: Literal["adamw", "adam", "sgd", "adafactor"] = "adamw"
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(
        0.01, ge=0, description="decoupled, with adam L2 in the gradient; none on biases and norms"
    )
    l1: float = Field(0.0, ge=0, description="draws weights to exactly 0, decoupled; none on biases and norms")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="the learning rate shrinks so from block to block downwards"
    )
    unfreeze_every: int | None = Field(None, ge=1, description="epochs after which one more block learns, from the top")
    momentum: Share = Field(0.9, description="of sgd")
    lr_scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: Share = 0.0
    warmup_steps: int = Field(0, ge=0, description="optimizer steps; instead of warmup_ratio")
    batch_size: int = Field(16, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches to one optimizer step")
    group_by_length: bool = Field(False, description="steps of rows of about one length, for less padding")
    max_grad_norm: float = Field(1.0, ge=0, description="0 does not clip")
    label_smoothing: Share = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    augmentation: Literal["none", "flip", "crop", "flip_crop"] = Field(
        "none", description="of images that are trained on: mirrored by chance, shifted by up to an eighth, or both"
    )
    stop: int | None = Field(None, ge=1, description="ends after so many evaluations of the whole schedule")
    early_stopping_patience: int | None = Field(None, ge=1, description="evaluations without a better val_loss")
    gradient_checkpointing: bool = Field(False, description="compute blocks twice, to keep less of them in memory")
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    eval_batch_size: int = Field(64, ge=1)
    seed: int | None = Field(None, ge=0, description="null takes the study's")

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_ratio and self.warmup_steps:
            raise ValueError("warmup_ratio and warmup_steps are both set; keep one")
        return self
