"""Parameters of the evidence that a ranking takes in besides the trained vectors, and of its probabilities."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params
from vixml.params.classifier import ClassifierParams, TreeParams


class NeighbourParams(Params):
    """Labels of the nearest training queries, weighed by a small regression for each query."""

    neighbours: int = Field(100, ge=1)
    """Training queries that each query looks at; more cost more than they add."""
    power: float = Field(2.0, gt=0)
    """The kernel is similarity ** power."""
    ridge: float = Field(0.5, gt=0)
    """Added to the kernel's diagonal (1 before): larger trusts single neighbours less."""
    query_block: int = Field(128, ge=1)
    """Queries compared at once; memory grows with it."""


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
    """What is improved: the mean gain of these over the best single part's, as a fraction of it."""
    most_gain: float = Field(0.05, gt=0)
    """Largest gain of a metric that counts: without a limit, rare labels (PSP) are bought with the first places."""
    margin: float = Field(0.01, ge=0)
    """Gain up to which a metric counts as not clearly ahead."""
    weights: tuple[float, ...] = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Weights tried for each part."""
    sharpness: tuple[float, ...] = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
    """Exponents tried for each part."""
    tails: tuple[float, ...] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    """Exponents of the inverse propensity tried, for all parts together and for each."""
    shortfall: float = Field(5.0, ge=0)
    """What it costs when a metric stays below `margin`, beside what an equal gain brings."""
    min_gain: float = Field(5e-4, ge=0)
    """A part enters, and stays, only where it gains more than this fraction."""
    rounds: int = Field(4, ge=1)
    """Most rounds over all parts."""
    max_queries: int = Field(2000, ge=2)
    """Validation queries taken, spread evenly over all."""


class SpaceFitParams(Params):
    """How the weights of the feature spaces are chosen on validation queries."""

    metrics: tuple[str, ...] = ("P@1", "P@5", "PSP@5", "R@10")
    """What is improved: the mean of these, each relative to equal weights."""
    weights: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Weights tried for each space."""
    neighbours: int = Field(50, ge=1)
    """Training queries that vote in a trial."""
    power: float = Field(4.0, gt=0)
    """A vote weighs similarity ** power."""
    rounds: int = Field(2, ge=1)
    """Most rounds over all spaces."""
    min_gain: float = Field(2e-3, ge=0)
    """A weight changes only for more than this relative gain."""
    max_queries: int = Field(600, ge=2)
    """Validation queries taken, spread evenly over all."""
    max_keys: int = Field(50_000, ge=1)
    """Training queries taken, likewise; memory is 4 * max_queries * max_keys bytes for each space."""


class EvidenceParams(Params):
    """The evidence that labels are ranked by, and how its weights are found."""

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
    """Training queries, evenly spread and at most a tenth, that stand in for a missing validation split: they are no
    neighbours and no examples while weights are fitted, and both afterwards."""
    untuned_weight: float = Field(0.5, ge=0)
    """Weight of the trained prototypes beside the other parts where there is no validation split: the model has seen
    the training queries that stand in for it, so they cannot judge it."""


class CalibrationParams(Params):
    """How scores of the final ranking become probabilities, on validation queries."""

    depth: int = Field(100, ge=1)
    """Labels of each validation query that count, best first: most of them are wrong, as among predictions."""
    folds: int = Field(5, ge=2)
    """Parts that the validation queries are divided into; a kind of curve is judged on the part that it was not fitted
    on, and so are the thresholds of `min_precision`."""
    min_pairs: int = Field(50, ge=1)
    """True pairs, and as many wrong ones, without which no probability is given."""
    min_group_pairs: int = Field(200, ge=1)
    """True pairs that head, torso or tail needs for a step curve of its own; the pooled curve stands in."""
    interval_confidence: float = Field(0.95, gt=0, lt=1)
    """Confidence of the interval of a precision."""
