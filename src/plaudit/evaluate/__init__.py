"""How good a model is: metrics with intervals, calibration, speed, robustness, explanations and errors."""
