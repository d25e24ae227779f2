"""The experiments: accuracy, separation, stability, and what survives a kill.

*.toml         what `scatcuda train --config` takes; `[expect]` says what should come out
__main__.py    runs them, keeps the results, writes the page README.md from them
killed.py      training and feature extraction, killed again and again
"""
