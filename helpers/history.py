"""How images per second went from run to run: one line for each model, device, precision and batch size."""

import base64
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from helpers import formats
from helpers.records import Measured
from helpers.summaries import Summary

WIDTH, HEIGHT, EDGE = 120, 28, 3  # pixels


@dataclass(frozen=True)
class Line:
    """The candidate's figures at one batch size, oldest first, of at least two runs."""

    batch: int
    points: list[Measured]

    def facts(self) -> dict[str, str]:
        """Return the first, last, lowest and highest figure, as shown."""
        by_speed = sorted(self.points, key=lambda point: point.images_per_second)
        ends = {"first": self.points[0], "last": self.points[-1], "lowest": by_speed[0], "highest": by_speed[-1]}
        return {name: formats.fps(point) for name, point in ends.items()}

    def alt(self) -> str:
        """Return the line in words."""
        said = ", ".join(f"{name} {text}" for name, text in self.facts().items())
        return f"Images per second in {len(self.points)} runs: {said}."

    def image(self) -> str:
        """Return the line as the address of an SVG image."""
        return sparkline([point.images_per_second for point in self.points])


def lines(runs: Sequence[Summary]) -> dict[tuple[str, ...], list[Line]]:
    """Return {(model, configuration and device, precision, region): its lines by batch size}; a batch size of a single run has none."""
    found = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.created_utc):
        for batch, point in run.points.items():
            found[run.model, run.runs_on, run.precision, run.region, batch].append(point)
    kept = sorted((key, points) for key, points in found.items() if len(points) > 1)
    return {
        key: [Line(made[-1], points) for made, points in several] for key, several in itertools.groupby(kept, key=lambda pair: pair[0][:-1])
    }


def sparkline(values: Sequence[float]) -> str:
    """Return a `data:` address of an SVG line through at least two values, equally apart, on an axis that starts at zero."""
    step, top = (WIDTH - 2 * EDGE) / (len(values) - 1), max(values) or 1.0
    places = [(EDGE + step * at, HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * max(value, 0.0) / top) for at, value in enumerate(values)]
    line, (x, y) = " ".join(f"{x:.0f},{y:.1f}" for x, y in places), places[-1]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none">'
        f'<path d="M0 {HEIGHT - EDGE}H{WIDTH}" stroke="#aab2bb"/><polyline points="{line}" stroke="#0072b2" stroke-width="1.5"/>'
        f'<circle cx="{x:.0f}" cy="{y:.1f}" r="2.5" fill="#0072b2"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
