"""Draws what `make bench` kept as SVG, with matplotlib (`pip install --group bench`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from benchmarks.figures import Plot
from benchmarks.peers import CALLS, PER

COLOURS = ("#1565c0", "#6d4c41", "#6a1b9a", "#ef6c00", "#2e7d32", "#455a64")
ACCEPTED, REFUSED, LIMIT = "#1565c0", "#d32f2f", "#616161"
MOST_DRAWN = 60
"""Calls in any window; whoever sends more leaves the picture at its top."""
WIDTH, ROW, HEIGHT = 9.0, 1.05, 4.2
STYLE: Any = {
    "svg.hashsalt": "leadsquared_async",  # the same file for the same figures
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(plot: Plot, folder: Path) -> Path:
    """Draw one plot; returns its file."""
    mpl.use("agg")
    with mpl.rc_context(STYLE):
        drawn = _curves(plot) if plot.y else _events(plot)
        drawn.suptitle(plot.title, fontsize=10)
        file = folder / f"{plot.name}.svg"
        drawn.savefig(file, metadata={"Date": None}, bbox_inches="tight")
        plt.close(drawn)
    return file


def _curves(plot: Plot) -> Drawing:
    drawn, axes = plt.subplots(figsize=(WIDTH, HEIGHT))
    for colour, (name, points) in zip(COLOURS, plot.series.items(), strict=False):
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
    if plot.is_log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.legend(frameon=False)
    return drawn


def _events(plot: Plot) -> Drawing:
    """For each client the calls in the last window, over time, with the limit and a mark for each 429."""
    drawn, rows = plt.subplots(
        len(plot.series), 1, sharex=True, figsize=(WIDTH, ROW * len(plot.series)), squeeze=False
    )
    for axes, (name, events) in zip(rows[:, 0], plot.series.items(), strict=True):
        _window(axes, [(float(moment), bool(is_accepted)) for moment, is_accepted in events])
        axes.set_title(name, loc="left", fontsize=9, pad=2)
    rows[-1, 0].set_xlabel(plot.x)
    drawn.supylabel(f"calls in the last {PER:g} s", fontsize=9)
    drawn.tight_layout(h_pad=0.4)
    return drawn


def _window(axes: Axes, events: list[tuple[float, bool]]) -> None:
    moments = [moment for moment, _ in events]
    steps = sorted({*moments, *(moment + PER for moment in moments)})
    counts = [sum(step - PER < moment <= step for moment in moments) for step in steps]
    axes.fill_between(steps, counts, step="post", color=ACCEPTED, alpha=0.25, linewidth=0)
    axes.step(steps, counts, where="post", color=ACCEPTED, linewidth=0.8)
    axes.axhline(CALLS, color=LIMIT, linewidth=0.8, linestyle="--")
    refused = [moment for moment, is_accepted in events if not is_accepted]
    axes.plot(refused, [MOST_DRAWN * 0.93] * len(refused), "|", color=REFUSED, markersize=7)
    axes.text(1.005, 0.5, f"{len(refused)} of 429", transform=axes.transAxes, color=REFUSED, va="center")
    axes.set_ylim(0, MOST_DRAWN)
    axes.set_yticks([0, CALLS, 50])
