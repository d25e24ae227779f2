"""The page of results, from the JSON files that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HEAD = """\
# Experiments

Written by `python -m benchmarks.learning` from `benchmarks/results/learning`; a bar is what was
expected at least. One of them alone:

```sh
scatcuda train --config benchmarks/learning/NAME.toml --data-dir DIR   # accuracies
python -m benchmarks.learning NAME --data-dir DIR                      # and keeps what came out
```

For every `n` the training images are a balanced subset, `scatcuda.data.subset`; the test set is
whole. ± is the standard deviation over the seeds. Seconds are of one row's
training and testing of all seeds, reading and features included, on the machine named below.
"""


def text(results: Path) -> str:
    """The page, in Markdown."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    parts = [_HEAD]
    accuracies = [entry for entry in found if entry["kind"] == "accuracy"]
    if accuracies:
        parts.append(_accuracies(accuracies))
    for entry in found:
        if entry["kind"] == "plotted":
            parts.append(f"## {entry['title']}\n\n{entry['text']}\n")
            parts += [
                f"![{alt}](../results/learning/{name})\n" for name, alt in entry["pictures"].items()
            ]
    for entry in found:
        if entry["kind"] == "killed":
            lines = "\n".join(f"- {verdict['text']}" for verdict in entry["verdicts"])
            parts.append(f"## {entry['title']}\n\n{lines}\n")
    if found:
        last = max(found, key=lambda entry: entry["date"])
        versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
        parts.append(
            f"Last run on {last['date']}: {last['machine']}, engine {last['engine']}, "
            f"{last['threads']} threads, {versions}.\n"
        )
    return "\n".join(parts)


def _accuracies(entries: list[dict[str, Any]]) -> str:
    lines = [
        "## Accuracies",
        "",
        "| experiment | n | accuracy | bar | seconds |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
        bars = {
            str(row["n"]): verdict
            for row in entry["rows"]
            for verdict in entry["verdicts"]
            if verdict["text"].startswith(f"n = {row['n']}:")
        }
        for i, row in enumerate(entry["rows"]):
            title = f"[{entry['title']}]({entry['name']}.toml)" if i == 0 else ""
            spread = f" ± {row['deviation']:.2%}".rstrip("%") if len(row["seeds"]) > 1 else ""
            accuracy = f"{row['accuracy']:.2%}".rstrip("%") + spread + " %"
            lines.append(
                f"| {title} | {row['n']} | {accuracy} | {_bar(bars.get(str(row['n'])))} | "
                f"{row['seconds']:.0f} |"
            )
        for verdict in entry["verdicts"]:
            if not verdict["text"].startswith("n ="):
                lines.append(f"| | | | {verdict['text']} | |")
    return "\n".join(lines) + "\n"


def _bar(verdict: dict[str, Any] | None) -> str:
    return verdict["text"].partition("at least ")[2] if verdict else ""
