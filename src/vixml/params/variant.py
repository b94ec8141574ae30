"""All settings of one variant, the unit that is trained, evaluated and compared."""

from __future__ import annotations

from pydantic import model_validator

from vixml.params.base import Params
from vixml.params.batching import BatchingParams
from vixml.params.model import BackboneParams, ModelParams
from vixml.params.objective import ObjectiveParams
from vixml.params.retrieval import RetrievalParams
from vixml.params.training import OptimParams, TrainingParams


class VariantParams(Params):
    """Settings of one variant (`encoder_text`, `encoder_vision`, `decoder_text`, `decoder_vision`)."""

    backbone: BackboneParams = BackboneParams()
    """The text network."""
    model: ModelParams = ModelParams()
    """Images and prototypes around it."""
    objective: ObjectiveParams = ObjectiveParams()
    """The loss."""
    batching: BatchingParams = BatchingParams()
    """Batches and hard negatives."""
    optim: OptimParams = OptimParams()
    """The optimiser."""
    training: TrainingParams = TrainingParams()
    """Epochs, validation, checkpoints, device."""
    retrieval: RetrievalParams = RetrievalParams()
    """The label index."""

    @model_validator(mode="after")
    def _stages_in_order(self) -> VariantParams:
        if self.batching.start_epoch > self.training.epochs:
            raise ValueError(
                f"batching.start_epoch {self.batching.start_epoch} is after the last of training.epochs "
                f"{self.training.epochs}"
            )
        return self

    @model_validator(mode="after")
    def _a_prior_is_for_similarities(self) -> VariantParams:
        if self.retrieval.imageless_prior and self.retrieval.augmentation.mode != "none":
            raise ValueError(
                f"retrieval.imageless_prior {self.retrieval.imageless_prior} belongs to retrieval.augmentation.mode "
                "none: it is added to similarities, and the scores of a blend are none"
            )
        return self
