"""Speed, measured against named rivals that run the same weights.

Every framework has a process of its own; they take turns, and what counts is the median.
A measurement is repeated when other programs were using the machine meanwhile. Before
anything is timed, all must give equal heads. Limits of the machine are measured in the same
run, so that only ratios within a run need be believed.
"""
