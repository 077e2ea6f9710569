"""`ringwheel script graph`: pictures of scripts."""

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringwheel.cli.main import run_command
from ringwheel.robot.script.compiler import load_script
from ringwheel.robot.script.layout import lay_out
from ringwheel.robot.script.picture import picture_of, to_dot, to_mermaid
from ringwheel.robot.script.svg import to_svg

from ..sim.test_interpreter_property import scripts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scripts"
SVG = "{http://www.w3.org/2000/svg}"


def boxes_of(svg):
    """Where each step's box stands, by its id; those of one flow have one origin."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        title, box = group.find(f"{SVG}title"), group.find(f"{SVG}rect[@class='box']")
        if box is not None:
            found[title.text] = tuple(
                float(box.get(name)) for name in ("x", "y", "width", "height")
            )
    return found


def overlap(one, other):
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))


def check(script):
    svg = to_svg(picture_of(script))
    found = boxes_of(svg)
    assert set(found) == set(script.steps)
    for flow in script.flows:
        inside = [box for name, box in found.items() if script.steps[name].flow == flow]
        assert not any(overlap(one, other) for one, other in combinations(inside, 2))


@pytest.mark.parametrize("name", ["menu", "survey", "appointment"])
def test_every_step_is_there_and_none_lies_on_another(name, tmp_path):
    file = EXAMPLES / f"{name}.yaml"
    assert run_command(["script", "graph", str(file), "-o", str(tmp_path / "out.svg")]) == 0
    assert boxes_of((tmp_path / "out.svg").read_text("utf-8"))
    check(load_script(file))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(scripts())
def test_any_script_has_a_picture(script):
    check(script)
    picture = picture_of(script)
    assert to_dot(picture).count("{") >= 1
    assert to_mermaid(picture).startswith("flowchart TD\n")


def test_for_other_programs():
    picture = picture_of(load_script(EXAMPLES / "menu.yaml"))
    dot, mermaid = to_dot(picture), to_mermaid(picture)
    assert '[label="goto: person"]' in dot
    assert '[label="failed", style=dashed]' in dot
    assert '-->|"hours"|' in mermaid
    assert "subgraph flow0" in mermaid


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25).map(
        lambda lines: [(str(a), str(b)) for a, b in lines]
    )
)
def test_lines_that_lead_down_lead_down(lines):
    sizes = {str(name): (100.0, 40.0) for name in range(10)}
    laid = lay_out(sizes, lines, "0")
    for number, route in laid.routes.items():
        assert (route[0], route[-1]) == lines[number]
        heights = [laid.places[name][1] for name in route]
        assert heights == sorted(set(heights))
    # What has no route would close a circle with those that have one.
    for number in set(range(len(lines))) - set(laid.routes):
        source, target = lines[number]
        seen, todo = set(), [target]
        while todo:
            name = todo.pop()
            seen.add(name)
            todo += [r[-1] for r in laid.routes.values() if r[0] == name and r[-1] not in seen]
        assert source in seen


def test_a_long_flow_is_drawn():
    lines = [(str(n), str(n + 1)) for n in range(1_500)]
    sizes = {str(n): (10.0, 10.0) for n in range(1_501)}
    assert len(lay_out(sizes, lines, "0").routes) == 1_500


@pytest.mark.parametrize(("name", "cause"), [("x.png", "not a kind"), ("no/x.svg", "No such file")])
def test_what_cannot_be_written(name, cause, tmp_path, capsys):
    file = str(EXAMPLES / "menu.yaml")
    assert run_command(["script", "graph", file, "-o", str(tmp_path / name)]) > 0
    assert cause in capsys.readouterr().err


def test_the_picture_in_the_documents_is_that_of_the_example():
    drawn = (EXAMPLES.parents[1] / "docs" / "menu.svg").read_text("utf-8")
    told = "draw it anew: ringwheel script graph examples/scripts/menu.yaml -o docs/menu.svg"
    assert drawn == to_svg(picture_of(load_script(EXAMPLES / "menu.yaml"))), told
