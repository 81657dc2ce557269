"""Plots as SVG, without a library: light or dark as the reader has it, and the same bytes each time."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

STYLE = """\
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .page { fill: #ffffff }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 11px; fill: #59636e }
  .bar { fill: #8c959f } .ours { fill: #0969da } .line { stroke: #1f2328 } .cell { fill: #bc4c00 }
  .curve { fill: none; stroke-width: 2 } .curve.ours { stroke: #0969da; stroke-width: 3 } .curve.other { stroke: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .page { fill: #0d1117 } .small { fill: #9198a1 }
    .bar { fill: #656c76 } .ours { fill: #4493f8 } .line { stroke: #f0f6fc } .cell { fill: #f0883e }
    .curve.ours { stroke: #4493f8 } .curve.other { stroke: #9198a1 }
  }
</style>
"""
LABELS, WIDTH, ROW, HEAD = 200, 760, 26, 58  # pixels


class Bar(NamedTuple):
    """One bar: a median between two extremes."""

    label: str
    median: float
    low: float
    high: float
    ours: bool = False


class Curve(NamedTuple):
    """A value that grows from day to day."""

    label: str
    values: Sequence[float]
    ours: bool = False


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """Return horizontal bars from zero, with whiskers from the lowest to the highest value."""
    scale = (WIDTH - LABELS - 90) / max(row.high for row in rows)
    parts = [text(0, 18, title, "title"), text(0, 38, f"{unit}; whiskers: lowest to highest", "small")]
    for number, row in enumerate(rows):
        y = HEAD + number * ROW
        kind = "ours" if row.ours else "bar"
        parts.append(text(LABELS - 8, y + 14, row.label, anchor="end"))
        parts.append(
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{max(row.median * scale, 1):.1f}" height="18"/>'
        )
        low, high = LABELS + row.low * scale, LABELS + row.high * scale
        parts.append(f'<line class="line" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 9}" y2="{y + 9}"/>')
        parts.append(text(high + 6, y + 14, figure(row.median)))
    return picture(title, WIDTH, HEAD + len(rows) * ROW, parts)


def curves(title: str, unit: str, days: Sequence[str], rows: Sequence[Curve]) -> str:
    """Return lines that rise from zero, one value for each day, each named at its end."""
    height, right = 300, 200
    highest = max(row.values[-1] for row in rows)
    parts = [text(0, 18, title, "title"), text(0, 38, unit, "small")]
    ends = spread_out([HEAD + height * (1 - row.values[-1] / highest) for row in rows], 16)
    for row, end in zip(rows, ends, strict=True):
        steps = enumerate(row.values)
        points = [
            f"{at * (WIDTH - right) / max(len(days) - 1, 1):.1f},{HEAD + height * (1 - value / highest):.1f}"
            for at, value in steps
        ]
        kind = "ours" if row.ours else "other"
        parts.append(f'<polyline class="curve {kind}" points="{" ".join(points)}"/>')
        parts.append(text(WIDTH - right + 8, end + 4, f"{row.label}: {figure(row.values[-1])}"))
    parts.append(f'<line class="line" x1="0" x2="{WIDTH - right}" y1="{HEAD + height}" y2="{HEAD + height}"/>')
    parts.append(text(0, HEAD + height + 18, days[0], "small"))
    parts.append(text(WIDTH - right, HEAD + height + 18, days[-1], "small", "end"))
    return picture(title, WIDTH, HEAD + height + 28, parts)


def spread_out(places: Sequence[float], least: float) -> list[float]:
    """Return places, from the first to the last in height, so that none is nearer to the next than `least`."""
    moved: dict[int, float] = {}
    below = float("inf")
    for number in sorted(range(len(places)), key=lambda number: -places[number]):
        below = moved[number] = min(places[number], below - least)
    return [moved[number] for number in range(len(places))]


def grid(title: str, note: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """Return a table of values in which a stronger colour is a larger value, on a logarithmic scale."""
    values = [value for _, row in rows for value in row if value]
    low, high = math.log(min(values)), math.log(max(values))
    width, head = 64, 150
    parts = [text(0, 18, title, "title"), text(0, 38, note, "small")]
    for number, column in enumerate(columns):
        x = LABELS + number * width + width // 2 + 4
        parts.append(f'<g transform="translate({x},{head - 8}) rotate(-35)">{text(0, 0, column, "small")}</g>')
    for line, (label, row) in enumerate(rows):
        y = head + line * ROW
        parts.append(text(LABELS - 8, y + 17, label, anchor="end"))
        for number, value in enumerate(row):
            x = LABELS + number * width
            strength = 0.04 if not value else 0.06 + 0.46 * (math.log(value) - low) / ((high - low) or 1)
            box = f'x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{ROW - 2}"'
            parts.append(f'<rect class="cell" fill-opacity="{strength:.2f}" {box}/>')
            parts.append(text(x + width / 2, y + 17, "-" if value is None else figure(value), anchor="middle"))
    return picture(title, LABELS + len(columns) * width + 90, head + len(rows) * ROW + 4, parts)


def figure(value: float) -> str:
    """Return a value with two or three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return words at a place."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{html.escape(words)}</text>'


def picture(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """Return the file."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">\n'
    page = '<rect class="page" width="100%" height="100%"/>\n'  # readable on a page of the other scheme
    return f"{head}<title>{html.escape(title)}</title>\n{STYLE}{page}" + "\n".join(parts) + "\n</svg>\n"
