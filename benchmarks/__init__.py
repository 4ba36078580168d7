"""Side by side with the stock tools: ``python -m benchmarks`` (or ``make bench``).

Whole commands are timed from outside, ours and the peers' in turn, on the same server, database and disk; the medians
are compared. A ratio above 1 says that we are faster. Nothing here is a test, and no test asserts a time.
"""
