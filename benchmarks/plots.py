"""Draws what `make bench` kept as SVG, with matplotlib (`pip install --group bench`)."""

from __future__ import annotations

from bisect import bisect_right
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from benchmarks.figures import Plot
from benchmarks.peers import CALLS, PER
from leadsquared_async.sandbox import most_in_any_window

COLOURS = ("#1565c0", "#6d4c41", "#6a1b9a", "#ef6c00", "#2e7d32", "#455a64")
ACCEPTED, REFUSED, LIMIT = "#1565c0", "#d32f2f", "#212121"
DRAWN_EVERY = 0.1
"""Seconds between two counts of the calls in a window."""
MOST_DRAWN = 60
"""Calls in any window; whoever sends more leaves the picture at its top."""
WIDTH, ROW, HEIGHT = 9.0, 1.1, 4.2
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
        drawn.suptitle(plot.title, fontsize=10, y=1.0)
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
        axes.set_title(name, loc="left", fontsize=9, pad=4, fontweight="bold")
        axes.set_xlim(0, max(moment for series in plot.series.values() for moment, _ in series) + PER)
    rows[0, 0].text(
        0.995, CALLS + 2, f"limit: {CALLS}", transform=rows[0, 0].get_yaxis_transform(), ha="right"
    )
    rows[-1, 0].set_xlabel(plot.x)
    drawn.supylabel(f"calls in the last {PER:g} s", fontsize=9)
    drawn.tight_layout(h_pad=0.6)
    return drawn


def _window(axes: Axes, events: list[tuple[float, bool]]) -> None:
    """What is above the limit is drawn in the colour of the 429s, whose marks are at the top."""
    moments = [moment for moment, _ in events]
    every = [number * DRAWN_EVERY for number in range(int((moments[-1] + PER) / DRAWN_EVERY) + 2)]
    counted = [(step, bisect_right(moments, step) - bisect_right(moments, step - PER)) for step in every]
    changes = [next(group) for _, group in groupby(counted, key=itemgetter(1))]
    steps, counts = zip(*changes, strict=True)
    within = [min(count, CALLS) for count in counts]
    axes.fill_between(steps, within, step="post", color=ACCEPTED, alpha=0.35, linewidth=0)
    is_over = [count > CALLS for count in counts]
    axes.fill_between(
        steps, within, counts, where=is_over, step="post", color=REFUSED, alpha=0.6, linewidth=0
    )
    axes.axhline(CALLS, color=LIMIT, linewidth=1.0)
    refused = [moment for moment, is_accepted in events if not is_accepted]
    marks = {round(moment, 1) for moment in refused}
    axes.plot(sorted(marks), [MOST_DRAWN * 0.95] * len(marks), "|", color=REFUSED, markersize=7)
    most = most_in_any_window(moments, PER)
    colour = REFUSED if refused or most > CALLS else ACCEPTED
    words = f"at most {most:,}\n429s: {len(refused):,}"
    axes.text(1.01, 0.5, words, transform=axes.transAxes, color=colour, va="center")
    axes.set_ylim(0, MOST_DRAWN)
    axes.set_yticks([0, CALLS, 50])
