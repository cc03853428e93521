"""Gaze estimators: geometry of the iris, and converted appearance-based networks."""
