"""Where the boxes of a flow stand: in layers from above, with few crossings (Sugiyama's method).

Lines that lead back are left out of the layers; long ones pass by places of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 12
GAP_X = 26.0
GAP_Y = 52.0


@dataclass(frozen=True, slots=True)
class Laid:
    """``places`` are the middles of boxes; ``routes`` what each line passes, ends included, by its
    number; those that lead back are not in it."""

    width: float
    height: float
    places: Mapping[str, tuple[float, float]]
    routes: Mapping[int, tuple[str, ...]]


def lay_out(
    sizes: Mapping[str, tuple[float, float]], lines: Sequence[tuple[str, str]], entry: str | None
) -> Laid:
    """Places for boxes of these sizes; the way begins at the entry."""
    if not sizes:
        return Laid(0, 0, {}, {})
    forward = _forward(list(sizes), lines, entry)
    layer_of = _layers(list(sizes), [lines[number] for number in forward])
    all_sizes = dict(sizes)
    routes = {}
    for number in forward:
        source, target = lines[number]
        route = [source]
        for layer in range(layer_of[source] + 1, layer_of[target]):
            name = f"\0{number}.{layer}"
            layer_of[name] = layer
            all_sizes[name] = (12.0, 0.0)
            route.append(name)
        routes[number] = (*route, target)
    layers: list[list[str]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for name, layer in layer_of.items():
        layers[layer].append(name)
    pairs = [pair for route in routes.values() for pair in pairwise(route)]
    _order(layers, pairs)
    across = _across(layers, pairs, all_sizes)
    return _placed(layers, across, all_sizes, routes)


def _forward(names: list[str], lines: Sequence[tuple[str, str]], entry: str | None) -> list[int]:
    """The numbers of the lines that do not lead back to where one comes from."""
    ways: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for number, (source, target) in enumerate(lines):
        ways[source].append((number, target))
    state: dict[str, bool] = {}
    kept = []
    for start in ([entry] if entry else []) + names:
        if start in state:
            continue
        # Depth first, without recursion: a script may have thousands of steps in a row.
        state[start] = True
        stack = [(start, iter(ways[start]))]
        while stack:
            name, left = stack[-1]
            for number, target in left:
                if target not in state:
                    kept.append(number)
                    state[target] = True
                    stack.append((target, iter(ways[target])))
                    break
                if not state[target]:
                    kept.append(number)
            else:
                state[name] = False
                stack.pop()
    return sorted(kept)


def _layers(names: list[str], lines: list[tuple[str, str]]) -> dict[str, int]:
    """Each as far down as the longest way to it."""
    layer = dict.fromkeys(names, 0)
    waiting = dict.fromkeys(names, 0)
    ways: dict[str, list[str]] = {name: [] for name in names}
    for source, target in lines:
        ways[source].append(target)
        waiting[target] += 1
    ready = [name for name in names if not waiting[name]]
    while ready:
        name = ready.pop()
        for target in ways[name]:
            layer[target] = max(layer[target], layer[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return layer


def _neighbours(pairs: list[tuple[str, str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in pairs:
        below.setdefault(source, []).append(target)
        above.setdefault(target, []).append(source)
    return above, below


def _order(layers: list[list[str]], pairs: list[tuple[str, str]]) -> None:
    """Put each layer into the order of what it is joined to, down and up in turn."""
    above, below = _neighbours(pairs)
    position = {name: place for layer in layers for place, name in enumerate(layer)}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        joined = above if down else below
        for layer in layers if down else reversed(layers):
            keys = {
                name: _mean([position[other] for other in joined.get(name, [])], position[name])
                for name in layer
            }
            layer.sort(key=keys.__getitem__)
            position.update((name, place) for place, name in enumerate(layer))


def _mean(values: list[int] | list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _across(
    layers: list[list[str]], pairs: list[tuple[str, str]], sizes: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """How far to the right each one is: as near to the middle of its neighbours as it can be."""
    above, below = _neighbours(pairs)
    across: dict[str, float] = {}
    for layer in layers:
        at = 0.0
        for name in layer:
            across[name] = at + sizes[name][0] / 2
            at += sizes[name][0] + GAP_X
    for sweep in range(SWEEPS):
        joined = above if sweep % 2 == 0 else below
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [
                _mean([across[other] for other in joined.get(name, [])], across[name])
                for name in layer
            ]
            for name, x in zip(layer, _apart(layer, wanted, sizes), strict=True):
                across[name] = x
    return across


def _apart(
    layer: list[str], wanted: list[float], sizes: Mapping[str, tuple[float, float]]
) -> list[float]:
    """Nearest to what is wanted, with room between: isotonic regression over the distances."""
    offsets = [0.0]
    for one, other in pairwise(layer):
        offsets.append(offsets[-1] + (sizes[one][0] + sizes[other][0]) / 2 + GAP_X)
    blocks: list[list[float]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        blocks.append([want - offset, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value, count = blocks.pop()
            before, of = blocks[-1]
            blocks[-1] = [(before * of + value * count) / (of + count), of + count]
    flat = [value for value, count in blocks for _ in range(int(count))]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def _placed(
    layers: list[list[str]],
    across: Mapping[str, float],
    sizes: Mapping[str, tuple[float, float]],
    routes: Mapping[int, tuple[str, ...]],
) -> Laid:
    left = min(across[name] - sizes[name][0] / 2 for name in across)
    right = max(across[name] + sizes[name][0] / 2 for name in across)
    places = {}
    top = 0.0
    for layer in layers:
        height = max(sizes[name][1] for name in layer)
        for name in layer:
            places[name] = (across[name] - left, top + height / 2)
        top += height + GAP_Y
    return Laid(right - left, top - GAP_Y, places, routes)
