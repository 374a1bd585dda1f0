"""Is a difference more than chance? Seeds and images resampled, said in words. Pure functions."""

from dense_cl.evaluation.statistics.difference import Difference, difference, summary
from dense_cl.evaluation.statistics.estimate import Estimate
from dense_cl.evaluation.statistics.holm import holm
from dense_cl.evaluation.statistics.runs import Runs
from dense_cl.evaluation.statistics.verdict import verdict

__all__ = ["Difference", "Estimate", "Runs", "difference", "holm", "summary", "verdict"]
