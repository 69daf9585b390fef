"""How far forecasts can be trusted: held-out calibration on real counts, and simulation-based calibration."""

from ds3bayes.queries.calibration.baselines import BASELINES
from ds3bayes.queries.calibration.by_simulation import sbc, sbc_check, uniformity
from ds3bayes.queries.calibration.held_out import calibration_table, held_out_calibration, sampling_table

__all__ = [
    "BASELINES",
    "calibration_table",
    "held_out_calibration",
    "sampling_table",
    "sbc",
    "sbc_check",
    "uniformity",
]
