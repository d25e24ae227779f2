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
whole. ± is the standard deviation over the seeds. Seconds are those of all seeds' features,
training and testing, on the machine named below, which may have been busy with other work.
"""


def text(results: Path) -> str:
    """The page, in Markdown."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    parts = [_HEAD]
    accuracies = [entry for entry in found if entry["kind"] == "accuracy"]
    if accuracies:
        parts.append(_accuracies(accuracies))
        parts.append(_compared(accuracies))
        parts.append(_networks(accuracies))
    for kind, heading in _SEVERAL.items():
        if several := [entry for entry in found if entry["kind"] == kind]:
            parts.append(_several(heading, several))
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


_SOURCES = {"qm7": "molecules.py", "cifar-roto": "objects.py"}
_SEVERAL = {"images": "Textures, faces, objects", "signals": "Signals and molecules"}


def _several(heading: str, entries: list[dict[str, Any]]) -> str:
    lines = [
        f"## {heading}",
        "",
        "| experiment | of | found | bar |",
        "|---|---|---|---|",
    ]
    for entry in entries:
        bars = [verdict["text"].partition(", ")[2] for verdict in entry["verdicts"]]
        source = _SOURCES.get(entry.get("name"), f"{entry['kind']}.py")
        for i, (what, words) in enumerate(entry["lines"]):
            title = f"[{entry['title']}]({source})" if i == 0 else ""
            lines.append(f"| {title} | {what} | {words} | {bars[i] if i < len(bars) else ''} |")
    return "\n".join(lines) + "\n"


_MODELS = {
    ("ridge", "pixels"): "ridge on pixels",
    ("resnet", "scattering"): "residual network on pixels",
    ("ridge", "scattering"): "ridge on scattering",
    ("hybrid", "scattering"): "network on scattering",
}


def _compared(entries: list[dict[str, Any]]) -> str:
    """One table a data set: a row for every n, a column for every kind of model."""
    parts = ["## CNN, scattering, hybrid\n"]
    for name, title in (("mnist", "MNIST"), ("cifar10", "CIFAR-10")):
        cells: dict[str, dict[str, float]] = {}
        for entry in entries:
            options = entry["options"]
            model = _MODELS.get((options["model"], options["features"]))
            if options["data"] == name and model:
                for row in entry["rows"]:
                    cells.setdefault(str(row["n"]), {}).setdefault(model, row["accuracy"])
        if cells:
            order = sorted(cells, key=lambda n: float("inf") if n == "all" else int(n))
            columns = list(_MODELS.values())
            parts.append(f"| {title}, n | " + " | ".join(columns) + " |")
            parts.append("|---" * (len(columns) + 1) + "|")
            for n in order:
                shown = (f"{100 * cells[n][c]:.2f}" if c in cells[n] else "" for c in columns)
                parts.append(f"| {n} | " + " | ".join(shown) + " |")
            parts.append("")
    return "\n".join(parts)


def _networks(entries: list[dict[str, Any]]) -> str:
    """Of all images of a data set: what each network learns, and what that takes."""
    parts = []
    sets = ("mnist", "MNIST"), ("cifar10", "CIFAR-10"), ("orl-faces", "ORL's faces")
    for data, title in sets:
        found = [
            (entry, row)
            for entry in entries
            for row in entry["rows"]
            if entry["options"]["data"] == data and entry.get("parameters") and row["n"] == "all"
        ]
        if len(found) < 2:
            continue
        parts += [
            f"## Networks on all of {title}\n",
            "| network | parameters | epochs | augmented | accuracy, % | seconds a seed |",
            "|---|---|---|---|---|---|",
        ]
        for entry, row in sorted(found, key=lambda pair: -pair[1]["accuracy"]):
            options, seeds = entry["options"], len(row["seeds"])
            steps = row["images"] // min(options["batch_size"], row["images"])  # of an epoch
            epochs = max(options["epochs"], -(-options["min_steps"] // steps))
            parts.append(
                f"| [{entry['title'].partition(': ')[2]}]({entry['name']}.toml) "
                f"| {entry['parameters']:,} | {epochs} | {options['augment']} "
                f"| {100 * row['accuracy']:.2f} | {row['seconds'] / seeds:.0f} |"
            )
        parts.append("")
    return "\n".join(parts)


def _bar(verdict: dict[str, Any] | None) -> str:
    return verdict["text"].partition("at least ")[2] if verdict else ""
