"""Parameters of the comparison of runs and of its report."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class ComparisonParams(Params):
    """Intervals, gallery and regression check of the comparison."""

    bootstrap_samples: int = Field(1000, ge=100, le=100_000)
    """Resamplings of the test queries behind each interval."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence of the intervals and of significant differences."""
    gallery_queries: int = Field(200, ge=0, le=5000)
    """Test queries in the report's gallery, drawn with `seed`; 0 leaves the gallery out."""
    picture_pixels: int = Field(96, ge=32, le=256)
    """Longer side of the gallery's pictures."""
    picture_megabytes: float = Field(8.0, ge=0, le=100)
    """Maximum size of all pictures in the report in megabytes; labels without a picture are shown by their text."""
    baseline: str = ""
    """Run or runs (joined by +) that new runs are checked against: id, MLflow id, name, or variant; empty checks
    nothing."""
    max_drop: float = Field(0.5, ge=0, le=100)
    """Percentage points of `metric` by which a run may be below the baseline of its variant before the command
    fails."""
    metric: str = "P@1"
    """Metric of the regression check and the first one shown in the report."""
