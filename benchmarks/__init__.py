"""Benchmarks: one registry of cases, read by `pytest benchmarks --benchmark-only` and by
`python -m benchmarks`.

    registry.py    the cases: sizes, input, one run per implementation, a float64 reference
    timing.py      the clocks (CPU, CUDA) and the interleaved measurement
    process.py     what needs a process of its own: peak memory, import time
    report.py      measured figures, tables, JSON
    plot.py        the figure of ratios
    test_cases.py  the same cases under pytest-benchmark
"""
