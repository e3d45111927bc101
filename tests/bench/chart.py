"""Draws the CPU time per message of several systems as stacked bars, in SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

PARTS = {"webhook": "#4c78a8", "worker": "#f58518", "deliver": "#54a24b", "broker": "#b0b0b0"}
"""Process → colour."""
WIDTH, LEFT, BAR, GAP = 720, 170, 28, 16

Summary = Mapping[str, tuple[float, float, float]]
"""Column → median, lowest, highest."""


def chart(systems: Mapping[str, Summary]) -> str:
    """Return an SVG image with one bar for each system."""
    longest = max(sum(columns[p][0] for p in PARTS if p in columns) for columns in systems.values())
    scale = (WIDTH - LEFT - 80) / longest
    height = len(systems) * (BAR + GAP) + 40
    shapes = []
    for row, (name, columns) in enumerate(systems.items()):
        x, y = float(LEFT), row * (BAR + GAP)
        shapes.append(_text(LEFT - 10, y + 19, name, "end"))
        for part, colour in PARTS.items():
            value = columns.get(part, (0.0, 0.0, 0.0))[0]
            size = value * scale
            shapes.append(
                f'<rect x="{x:.1f}" y="{y}" width="{size:.1f}" height="{BAR}" fill="{colour}">'
                f"<title>{part}: {value:.0f} µs</title></rect>"
            )
            x += size
        total = (x - LEFT) / scale
        shapes.append(_text(x + 8, y + 19, f"{total:.0f} µs"))
    for column, (part, colour) in enumerate(PARTS.items()):
        x = float(LEFT + column * 110)
        shapes.append(
            f'<rect x="{x:.0f}" y="{height - 26}" width="14" height="14" fill="{colour}"/>'
        )
        shapes.append(_text(x + 20, height - 14, part))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
    style = 'font-family="sans-serif" font-size="14" fill="#888">'
    return "\n".join([head + style, *shapes, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
