"""Draws docs/images/dashboard.png: `python -m tests.telemetry.dashboard_image`, which takes five minutes.

Grafana is not run: the panels of docs/examples/monitoring/dashboard.json are drawn from what a Prometheus
answers about the traffic of `monitored`. Needs `pip install --group images`, and Prometheus.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates, ticker
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.examples.programs import free_port
from tests.prometheus import Prometheus, dashboard, expressions_of

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "dashboard.png"
PHASE = 40
"""Seconds of each kind of traffic."""
LENGTH = 7 * PHASE
STEP = 2.0
ROW_HEIGHT, WIDTH = 0.42, 18.0
"""Inches of a row of Grafana's grid, and of its 24 columns."""
DARK, PANEL, TEXT = "#111217", "#181b1f", "#ccccdc"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d")
NAMED = {"green": COLOURS[0], "red": COLOURS[4], "blue": COLOURS[2]}
UNITS = {"s": "s", "reqps": "per s", "short": "", "none": ""}


def main() -> None:
    """Run the traffic, then draw each panel."""
    mpl.use("agg")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-m", "tests.telemetry.monitored"]
        monitored = subprocess.Popen(
            [*command, str(port), f"{folder}/leads.db", str(PHASE)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        server = Prometheus(Path(folder), port)
        try:
            time.sleep(LENGTH)
            draw(server)
        finally:
            server.stop()
            monitored.communicate()


def draw(server: Prometheus) -> None:
    """Draw all panels at the places that they have in Grafana's grid."""
    panels = dashboard()["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    plt.rcParams.update(
        {"text.color": TEXT, "axes.labelcolor": TEXT, "xtick.color": TEXT, "ytick.color": TEXT}
    )
    figure = plt.figure(figsize=(WIDTH, rows * ROW_HEIGHT), facecolor=DARK)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        bottom, height = 1 - (place["y"] + place["h"]) / rows, place["h"] / rows
        if panel["type"] == "row":
            figure.text(left + 0.005, bottom + height / 2, panel["title"], va="center", weight="bold")
            continue
        figure.add_artist(
            plt.Rectangle(
                (left + 0.002, bottom + 0.002), width - 0.004, height - 0.004, color=PANEL, zorder=-1
            )
        )
        figure.text(
            left + 0.008, bottom + height - 0.016, panel["title"], va="center", weight="bold", size=10
        )
        margin = 0.075 if panel["type"] == "state-timeline" else 0.035
        box = (left + margin, bottom + 0.05, width - margin - 0.01, height - 0.08)
        axes = figure.add_axes(box, facecolor=PANEL)
        DRAWN[panel["type"]](axes, panel, server)
    IMAGE.parent.mkdir(exist_ok=True)
    figure.savefig(IMAGE, dpi=75, facecolor=DARK)


def series(panel: dict[str, Any], server: Prometheus) -> list[tuple[str, list[float], list[float]]]:
    """A name, times and values for each series of the panel."""
    end = time.time()
    found: list[tuple[str, list[float], list[float]]] = []
    for target, expression in zip(panel["targets"], expressions_of(panel), strict=True):
        for it in server.query_range(expression, end - LENGTH, end, STEP):
            name = target["legendFormat"]
            for label, value in it["metric"].items():
                name = name.replace("{{" + label + "}}", value)
            name = " ".join(word for word in name.split() if "{{" not in word)
            values = {float(when): float(value) for when, value in it["values"]}
            times = [end - LENGTH + STEP * number for number in range(int(LENGTH / STEP) + 1)]
            found.append((name, times, [_at(values, when) for when in times]))
    return sorted(found)


def _at(values: dict[float, float], when: float) -> float:
    """The value at a time; NaN, which matplotlib leaves out, if there is none."""
    return next((value for at, value in values.items() if abs(at - when) < STEP / 2), math.nan)


def lines(axes: Axes, panel: dict[str, Any], server: Prometheus) -> None:
    """A panel of type timeseries."""
    for (name, times, values), colour in zip(series(panel, server), COLOURS, strict=False):
        when = [datetime.fromtimestamp(it, UTC) for it in times]
        axes.plot(when, values, color=colour, linewidth=1, label=name)
        axes.fill_between(when, values, color=colour, alpha=0.1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(UNITS[panel["fieldConfig"]["defaults"]["unit"]], size=8)
    _finish(axes)


def states(axes: Axes, panel: dict[str, Any], server: Prometheus) -> None:
    """A panel of type state-timeline."""
    found = series(panel, server)
    for row, (_, times, values) in enumerate(found):
        for when, value in zip(times, values, strict=True):
            if math.isnan(value):
                continue
            axes.barh(
                row,
                STEP / 86_400,
                left=dates.date2num(datetime.fromtimestamp(when, UTC)),
                color=NAMED["red" if value else "green"],
                height=0.8,
            )
    axes.set_yticks(range(len(found)), [name for name, _, _ in found], size=6)
    axes.xaxis_date()
    _finish(axes, legend=False)


def numbers(axes: Axes, panel: dict[str, Any], server: Prometheus) -> None:
    """A panel of type stat."""
    axes.set_axis_off()
    found = series(panel, server)
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    for row, (name, _, values) in enumerate(found):
        colour = next(step["color"] for step in reversed(steps) if values[-1] >= (step["value"] or 0))
        y = 1 - (row + 0.5) / len(found)
        axes.text(0.5, y, f"{values[-1]:.0f}", size=26, ha="center", va="center", color=NAMED[colour])
        axes.text(0.5, y - 0.17, name, size=9, ha="center", va="center")


def table(axes: Axes, panel: dict[str, Any], server: Prometheus) -> None:
    """A panel of type table."""
    axes.set_axis_off()
    (names,) = (it["options"]["indexByName"] for it in panel["transformations"])
    columns = [name for name in sorted(names, key=names.__getitem__) if name != "Value"]
    found = [
        [*(row["metric"].get(name, "") for name in columns), row["value"][1]]
        for expression in expressions_of(panel)
        for row in server.query(expression)
    ]
    (heads,) = (
        [it["options"]["renameByName"][name] for name in (*columns, "Value")]
        for it in panel["transformations"]
    )
    drawn = axes.table(found, colLabels=heads, loc="upper left", cellLoc="left", edges="horizontal")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    drawn.auto_set_column_width(list(range(len(heads))))
    for cell in drawn.get_celld().values():
        cell.set_edgecolor("#33363d")


DRAWN = {"timeseries": lines, "state-timeline": states, "stat": numbers, "table": table}


def _finish(axes: Axes, *, legend: bool = True) -> None:
    axes.grid(color="#2c3235", linewidth=0.5)
    axes.tick_params(labelsize=7, length=0)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
    for spine in axes.spines.values():
        spine.set_visible(False)
    if legend:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.12),
            ncols=4,
            fontsize=7,
            frameon=False,
            labelcolor=TEXT,
        )


if __name__ == "__main__":
    main()
