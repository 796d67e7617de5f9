"""Open intervals, and the real line that parameters within them are searched on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """Open interval and the map from the real line onto it: exponential, logistic or identity."""

    low: float
    high: float

    def inward(self, u: float) -> float:
        """Return the parameter at the unconstrained `u`."""
        if np.isinf(self.low) and np.isinf(self.high):
            return u
        if np.isinf(self.high):
            return self.low + float(np.exp(u))
        if np.isinf(self.low):
            return self.high - float(np.exp(-u))
        return self.low + (self.high - self.low) / (1.0 + float(np.exp(-u)))

    def outward(self, value: float) -> float:
        """Return the unconstrained number of a parameter."""
        if np.isinf(self.low) and np.isinf(self.high):
            return value
        if np.isinf(self.high):
            return float(np.log(value - self.low))
        if np.isinf(self.low):
            return -float(np.log(self.high - value))
        return float(np.log(value - self.low) - np.log(self.high - value))

    def slope(self, value: float) -> float:
        """Return the derivative of the parameter by its unconstrained number."""
        if np.isinf(self.low) and np.isinf(self.high):
            return 1.0
        if np.isinf(self.high):
            return value - self.low
        if np.isinf(self.low):
            return self.high - value
        return (value - self.low) * (self.high - value) / (self.high - self.low)

    def log_slope_by(self, value: float) -> float:
        """Return the derivative of the logarithm of `slope` by the unconstrained number."""
        if np.isinf(self.low) and np.isinf(self.high):
            return 0.0
        if np.isinf(self.high):
            return 1.0
        if np.isinf(self.low):
            return -1.0
        return (self.high + self.low - 2.0 * value) / (self.high - self.low)
