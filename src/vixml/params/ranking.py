"""Parameters of the evidence that a ranking takes in besides the trained vectors, and of its probabilities."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params
from vixml.params.classifier import ClassifierParams, TreeParams


class NeighbourParams(Params):
    """Labels of the nearest training queries, weighted by a small regression for each query."""

    neighbours: int = Field(100, ge=1)
    """Number of nearest training queries used for each query; more cost more than they add."""
    power: float = Field(2.0, gt=0)
    """The kernel is similarity ** power."""
    ridge: float = Field(0.5, gt=0)
    """Added to the kernel's diagonal, which is 1 without it; a larger value trusts single neighbours less."""
    query_block: int = Field(128, ge=1)
    """Queries compared at the same time; memory grows with it."""


class PartParams(Params):
    """How one part of the evidence enters a blend."""

    weight: float = Field(0.0, ge=0)
    """Weight beside the other parts; 0 leaves the part out."""
    sharpness: float = Field(1.0, gt=0)
    """Exponent of the part's scores: above 1 for fewer labels, below 1 for more (an inverse temperature)."""
    tail: float = Field(0.0, ge=0)
    """Exponent of a label's inverse propensity, which multiplies the part's score: rare labels are observed less often
    than they apply. 0 leaves scores as they are."""
    scale: float = Field(1.0, gt=0)
    """Score that counts as 1: the mean of the best ones, so that weights of different parts can be compared."""


class BlendParams(Params):
    """A ranking that adds up all evidence; what the validation queries chose."""

    parts: dict[str, PartParams] = Field(default_factory=dict)
    """Settings of each part by its name."""


class BlendFitParams(Params):
    """How a blend is fitted on validation queries."""

    metrics: tuple[str, ...] = ("P@1", "P@5", "PSP@5", "R@10")
    """Metrics to improve: the mean of their gains over the best single part, as a fraction of its value."""
    most_gain: float = Field(0.05, gt=0)
    """Largest gain that counts for a metric: without a limit, gains on rare labels (PSP) would pay for losses at the
    first ranks."""
    margin: float = Field(0.01, ge=0)
    """Gain below which a metric is not considered clearly ahead."""
    weights: tuple[float, ...] = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Weights tried for each part."""
    sharpness: tuple[float, ...] = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
    """Exponents tried for each part."""
    tails: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    """Exponents of the inverse propensity tried, for all parts together and for each."""
    shortfall: float = Field(5.0, ge=0)
    """Penalty for a metric below `margin`, as a multiple of what an equal gain is worth."""
    min_gain: float = Field(5e-4, ge=0)
    """A part is added, and kept, only if it gains more than this fraction."""
    rounds: int = Field(4, ge=1)
    """Maximum number of rounds over all parts."""
    max_queries: int = Field(2000, ge=2)
    """Number of validation queries used, spread evenly over all."""


class SpaceFitParams(Params):
    """How the weights of the feature spaces are chosen on validation queries."""

    metrics: tuple[str, ...] = ("P@1", "P@5", "PSP@5", "R@10")
    """Metrics to improve: their mean, each relative to equal weights."""
    weights: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Weights tried for each space."""
    neighbours: int = Field(50, ge=1)
    """Training queries that vote in a trial."""
    power: float = Field(4.0, gt=0)
    """A vote weighs similarity ** power."""
    rounds: int = Field(2, ge=1)
    """Maximum number of rounds over all spaces."""
    min_gain: float = Field(2e-3, ge=0)
    """A weight is changed only for a larger relative gain than this."""
    max_queries: int = Field(600, ge=2)
    """Number of validation queries used, spread evenly over all."""
    max_keys: int = Field(50_000, ge=1)
    """Number of training queries used, spread evenly over all; memory is 4 * max_queries * max_keys bytes for each
    space."""


class EvidenceParams(Params):
    """The evidence that ranks labels, and how its weights are found."""

    neighbours: NeighbourParams = NeighbourParams()
    """Labels of the nearest training queries."""
    classifier: ClassifierParams | None = ClassifierParams()
    """One classifier for each label; null leaves them out."""
    tree: TreeParams | None = TreeParams()
    """A tree of labels over the words of the queries; null leaves it out."""
    spaces: SpaceFitParams = SpaceFitParams()
    """How feature spaces are weighed."""
    blend: BlendFitParams = BlendFitParams()
    """How the parts are weighed."""
    held_out: int = Field(1000, ge=2)
    """Evenly spread training queries, at most a tenth, that replace a missing validation split: while weights are
    fitted, they are neither neighbours nor training examples; afterwards they are both."""
    untuned_weight: float = Field(0.5, ge=0)
    """Weight of the trained prototypes relative to the other parts if there is no validation split: the model has seen
    the training queries that replace it, so they cannot be used to judge it."""


class CalibrationParams(Params):
    """How scores of the final ranking are turned into probabilities on validation queries."""

    depth: int = Field(100, ge=1)
    """Number of labels used per validation query, best first; most of them are wrong, as among predictions."""
    folds: int = Field(5, ge=2)
    """Number of folds of the validation queries; each kind of curve, and the thresholds of `min_precision`, are judged
    on the fold that they were not fitted on."""
    min_pairs: int = Field(50, ge=1)
    """Minimum number of true pairs, and of wrong ones, for any probability to be given."""
    min_group_pairs: int = Field(200, ge=1)
    """Minimum number of true pairs for head, torso or tail to get its own step curve; otherwise the pooled curve is
    used."""
    interval_confidence: float = Field(0.95, gt=0, lt=1)
    """Confidence of the interval of a precision."""
