"""The same models in other frameworks, as fast as each lets us write them simply.

A rival is made from a `cases.Case` and has `heads() -> [t, b, d]` in radians: one whole
rollout. What it may choose for itself it tries out beforehand, in `settle()`.
"""
