"""Networks are trained, resumed and evaluated."""
