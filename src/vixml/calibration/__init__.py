"""From the scores of a ranking to calibrated probabilities, and to thresholds that keep a precision."""
