"""The same work in other frameworks, as fast as each lets us write it simply.

A rival of sampling is made from a `cases.Case` and has `heads() -> [t, b, d]` in radians:
one whole rollout. The others are made from a folder in which the benchmark has put what
there is to do, and have `run()`. What a rival may choose for itself it tries out beforehand,
in `settle()`.
"""
