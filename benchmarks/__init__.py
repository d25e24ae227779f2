"""Benchmarks: one registry of cases, read by `pytest benchmarks --benchmark-only` and by
`python -m benchmarks`.

    registry.py    the cases: sizes, input, one run per implementation, a float64 reference
    per_path.py    Kymatio's loop over paths, for machines without Kymatio
    timing.py      the clocks (CPU, CUDA) and the interleaved measurement
    process.py     what needs a process of its own: peak memory, import time
    gpu.py         what only a GPU has: ceilings and floors, its memory, its kernels
    consumer.py    a C++ program against the call in Python, on its own: `-m benchmarks.consumer`
    report.py      measures the cases, writes JSON
    tables.py      the report as text
    plot.py        the figure of ratios
    test_cases.py  the same cases under pytest-benchmark
"""
