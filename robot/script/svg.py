"""A script's picture as SVG: one file, no scripts, no fonts of its own."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

from .layout import Laid, lay_out
from .picture import Box, FlowPicture, Picture

CHARACTER_PX = 6.4
LINE_PX = 16.0
TEXT_CHARACTERS = 30
BOX_PX = 212.0
HEAD_PX = 20.0
MARGIN_PX = 24.0
TITLE_PX = 34.0
PAGE_PX = 1_500.0
BACK_PX = 34.0
COLOURS = {
    "say": ("#e8f1fb", "#2f6db3"),
    "ask": ("#fff3dc", "#b87508"),
    "confirm": ("#fff3dc", "#b87508"),
    "choose": ("#fff3dc", "#b87508"),
    "if": ("#f1f1f4", "#5d6272"),
    "set": ("#f1f1f4", "#5d6272"),
    "http": ("#f2eafa", "#7a45b0"),
    "goto": ("#e2f4f1", "#16796b"),
    "call": ("#e2f4f1", "#16796b"),
    "return": ("#e2f4f1", "#16796b"),
    "hang up": ("#fbe8e8", "#b23a3a"),
}
OTHER_COLOUR = ("#eaf5e4", "#4c7f2a")
STYLE = """
text { font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px }
text { fill: #23262e }
.title { font-size: 20px; font-weight: 600 } .small { fill: #6b7080 }
.flow { font-size: 14px; font-weight: 600 } .verb { font-size: 11px; font-weight: 600 }
.panel { fill: #fcfcfd; stroke: #d5d8e0 } .box { stroke-width: 1.2 }
.line { fill: none; stroke: #7d8494; stroke-width: 1.3 }
.trouble { stroke: #b23a3a; stroke-dasharray: 5 3 }
.label { font-size: 11px; fill: #4a4f5c } .halo { fill: #fcfcfd; opacity: 0.92 }
"""


@dataclass(frozen=True, slots=True)
class _Panel:
    """One flow, drawn from 0, 0."""

    width: float
    height: float
    drawn: str


def to_svg(picture: Picture) -> str:
    """The whole picture: the title, the handlers, and the flows side by side as they fit."""
    panels = [_panel(flow) for flow in picture.flows]
    if picture.handlers:
        panels.insert(1, _handler_panel(picture.handlers))
    width, height, placed = _shelves(panels)
    top = 78.0
    body = "".join(
        f'<g transform="translate({x:.1f} {y + top:.1f})">{panel.drawn}</g>'
        for panel, x, y in placed
    )
    size = f"{width + 2 * MARGIN_PX:.0f} {height + top + MARGIN_PX:.0f}"
    wide, high = size.split()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
        f'width="{wide}" height="{high}">'
        f"<title>{_text(picture.title)}</title><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.8 L7.4 4 L0 7.2 z" fill="#7d8494"/></marker>'
        "</defs>"
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text class="title" x="{MARGIN_PX}" y="38">{_text(picture.title)}</text>'
        f'<text class="small" x="{MARGIN_PX}" y="58">{_text(picture.subtitle)}</text>'
        f"{body}</svg>\n"
    )


def _shelves(panels: list[_Panel]) -> tuple[float, float, list[tuple[_Panel, float, float]]]:
    """Panels from left to right, on a new row where a page is full."""
    page = max(PAGE_PX, *(panel.width for panel in panels)) + MARGIN_PX
    placed: list[tuple[_Panel, float, float]] = []
    x, y, row, widest = MARGIN_PX, 0.0, 0.0, 0.0
    # The columns of this row: where each begins, how wide it is, and how far down it is full.
    columns: list[list[float]] = []
    for panel in panels:
        for column in columns:
            if panel.width <= column[1] and column[2] + panel.height <= y + row:
                break
        else:
            if columns and x + panel.width > page:
                x, y, row, columns = MARGIN_PX, y + row + MARGIN_PX, 0.0, []
            column = [x, panel.width, y]
            columns.append(column)
            x += panel.width + MARGIN_PX
        placed.append((panel, column[0], column[2]))
        column[2] += panel.height + MARGIN_PX
        row = max(row, column[2] - MARGIN_PX - y)
        widest = max(widest, x - 2 * MARGIN_PX)
    return widest, y + row, placed


def _panel(flow: FlowPicture) -> _Panel:
    texts = {box.id: textwrap.wrap(box.text, TEXT_CHARACTERS)[:3] for box in flow.boxes}
    sizes = {
        box.id: (BOX_PX, HEAD_PX + LINE_PX * len(texts[box.id]) + (8 if texts[box.id] else 2))
        for box in flow.boxes
    }
    lines = [(line.source, line.target) for line in flow.lines]
    laid = lay_out(sizes, lines, flow.entry)
    back = sum(number not in laid.routes for number in range(len(lines)))
    title_px = len(flow.title) * 8.5 + 2 * MARGIN_PX
    width = max(laid.width + 2 * MARGIN_PX + (BACK_PX if back else 0), title_px)
    height = laid.height + TITLE_PX + MARGIN_PX + 10
    drawn = [
        f'<rect class="panel" width="{width:.1f}" height="{height:.1f}" rx="10"/>',
        f'<text class="flow" x="{MARGIN_PX}" y="24">{_text(flow.title)}</text>',
        f'<g transform="translate({MARGIN_PX} {TITLE_PX + 8})">',
        *_lines(flow, laid, sizes),
        *(_box(box, texts[box.id], laid.places[box.id], sizes[box.id]) for box in flow.boxes),
        *_labels(flow, laid, sizes),
        "</g>",
    ]
    return _Panel(width, height, "".join(drawn))


def _handler_panel(handlers: tuple[tuple[str, str], ...]) -> _Panel:
    width = max(150.0, *(CHARACTER_PX * 1.2 * (len(a) + len(b) + 6) for a, b in handlers)) + 20
    rows = [
        f'<text x="{MARGIN_PX}" y="{54 + LINE_PX * 1.3 * row:.1f}">'
        f'{_text(name)} <tspan class="small">→</tspan> {_text(flow)}</text>'
        for row, (name, flow) in enumerate(handlers)
    ]
    height = 50 + LINE_PX * 1.3 * len(handlers)
    head = (
        f'<rect class="panel" width="{width:.1f}" height="{height:.1f}" rx="10"/>'
        f'<text class="flow" x="{MARGIN_PX}" y="24">at any time</text>'
    )
    return _Panel(width, height, head + "".join(rows))


def _box(box: Box, lines: list[str], place: tuple[float, float], size: tuple[float, float]) -> str:
    fill, colour = COLOURS.get(box.verb, OTHER_COLOUR)
    x, y = place[0] - size[0] / 2, place[1] - size[1] / 2
    name = _text(box.id)
    texts = "".join(
        f'<text x="{x + 10:.1f}" y="{y + HEAD_PX + 12 + LINE_PX * row:.1f}">{_text(line)}</text>'
        for row, line in enumerate(lines)
    )
    round_px = size[1] / 2 if box.link and not lines[1:] else 7
    return (
        f"<g><title>{name}</title>"
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{size[0]}" height="{size[1]:.1f}" '
        f'rx="{min(round_px, 18):.1f}" fill="{fill}" stroke="{colour}"/>'
        f'<text class="verb" x="{x + 10:.1f}" y="{y + 15:.1f}" style="fill:{colour}">'
        f"{_text(box.verb)}</text>{texts}</g>"
    )


Ports = dict[int, float]


def _ports(flow: FlowPicture, laid: Laid) -> Ports:
    """How far from the middle of its box each line begins: side by side, as their ends are."""
    ports: Ports = {}
    for box in flow.boxes:
        numbers = [n for n, line in enumerate(flow.lines) if line.source == box.id]
        forward = [n for n in numbers if n in laid.routes]
        forward.sort(key=lambda n: laid.places[laid.routes[n][1]][0])
        apart = min(60.0, BOX_PX * 0.7 / max(1, len(forward) - 1))
        for place, number in enumerate(forward):
            ports[number] = (place - (len(forward) - 1) / 2) * apart
    return ports


def _lines(flow: FlowPicture, laid: Laid, sizes: dict[str, tuple[float, float]]) -> list[str]:
    ports = _ports(flow, laid)
    drawn = []
    for number, line in enumerate(flow.lines):
        path = (
            _forward_path(laid, sizes, laid.routes[number], ports[number])
            if number in laid.routes
            else _back_path(laid, sizes, line.source, line.target)
        )
        style = "line trouble" if line.trouble else "line"
        drawn.append(f'<path class="{style}" d="{path}" marker-end="url(#tip)"/>')
    return drawn


def _forward_path(
    laid: Laid, sizes: dict[str, tuple[float, float]], route: tuple[str, ...], port: float
) -> str:
    x, y = laid.places[route[0]]
    x, y = x + port, y + sizes[route[0]][1] / 2
    path = f"M{x:.1f} {y:.1f}"
    for name in route[1:]:
        to_x, middle = laid.places[name]
        to_y = middle - sizes.get(name, (0.0, 0.0))[1] / 2
        bend = (to_y - y) / 2
        path += f" C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    return path


def _back_path(laid: Laid, sizes: dict[str, tuple[float, float]], source: str, target: str) -> str:
    """Round the right side of both boxes, and up."""
    (x, y), (to_x, to_y) = laid.places[source], laid.places[target]
    x, to_x = x + sizes[source][0] / 2, to_x + sizes[target][0] / 2
    out = max(x, to_x) + BACK_PX
    to_y += 6 if source == target else 0
    return f"M{x:.1f} {y:.1f} C{out:.1f} {y:.1f} {out:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"


def _labels(flow: FlowPicture, laid: Laid, sizes: dict[str, tuple[float, float]]) -> list[str]:
    """Labels under the box that the line leaves; those of neighbours on rows of their own."""
    ports = _ports(flow, laid)
    drawn = []
    rows: dict[str, int] = {}
    for number, line in enumerate(flow.lines):
        if not line.label:
            continue
        x, y = laid.places[line.source]
        if number in laid.routes:
            target = laid.places[laid.routes[number][1]][0]
            # A third of the way down, the line has come about so far.
            x += ports[number] * 0.75 + (target - x) * 0.25
            row = rows[line.source] = rows.get(line.source, -1) + 1
            y += sizes[line.source][1] / 2 + 16 + (row % 2) * 14
        else:
            x += sizes[line.source][0] / 2 + 14
        wide = len(line.label) * CHARACTER_PX + 6
        drawn.append(
            f'<rect class="halo" x="{x - wide / 2:.1f}" y="{y - 10:.1f}" width="{wide:.1f}" '
            f'height="14" rx="3"/><text class="label" x="{x:.1f}" y="{y + 1:.1f}" '
            f'text-anchor="middle">{_text(line.label)}</text>'
        )
    return drawn


def _text(text: str) -> str:
    """Fit for XML: without the characters that it may not have."""
    return html.escape("".join(c for c in text if c.isprintable()))
