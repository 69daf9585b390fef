import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path

from ds3bayes.errors import InputError
from ds3bayes.reports.graph_figure import plot_skill_graph, say_skill_graph
from ds3bayes.theory.graph import SkillGraph, traverse

BUSY = [
    ("read the problem", "set up equations", 3),
    ("read the problem", "recall a formula", 1.5),
    ("read the problem", "draw a figure", 1),
    ("recall a formula", "set up equations", 2),
    ("recall a formula", "substitute", 1),
    ("draw a figure", "similar triangles", 2),
    ("draw a figure", "set up equations", 1),
    ("set up equations", "eliminate variables", 2),
    ("set up equations", "substitute", 2),
    ("eliminate variables", "solve quadratic", 1),
    ("substitute", "solve quadratic", 1),
    ("substitute", "simplify", 1),
    ("similar triangles", "simplify", 1),
    ("simplify", "solve quadratic", 1),
    ("solve quadratic", "discard false roots", 2),
    ("solve quadratic", "check units", 1),
    ("discard false roots", "state the answer", 1),
    ("check units", "state the answer", 1),
    ("check units", "set up equations", 0.3),
    ("similar triangles", "state the answer", 0.5),
    ("set up equations", "guess $x_{1$ & look", 0.2),
    ("guess $x_{1$ & look", "state the answer", 1),
    ("look up", "simplify", 1),
    ("set up equations", "set up equations", 0.4),
    ("simplify", "substitute", 0.2),
]


@pytest.fixture(scope="module")
def graph():
    return SkillGraph.from_edges(
        BUSY, entry={"read the problem": 0.9, "draw a figure": 0.1}, goal="state the answer", advance=0.1, wander=0.02
    )


def labels(figure):
    return [text for text in figure.axes[0].texts if text.get_fontsize() == 9]


def boxes(figure, texts):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [text.get_window_extent(canvas.get_renderer()) for text in texts]


@pytest.mark.parametrize("with_traversal", [False, True])
def test_labels_are_all_there_and_apart(graph, with_traversal):
    figure = plot_skill_graph(graph, traverse(graph, 200) if with_traversal else None)
    assert isinstance(figure, Figure)
    texts = labels(figure)
    assert sorted(text.get_text().replace("\n", " ") for text in texts) == sorted(graph.skills)
    every = boxes(figure, figure.axes[0].texts)
    page = figure.bbox
    for i, box in enumerate(every):
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
        for other in every[:i]:
            assert not box.overlaps(other)
    # Nor does a node cover a label.
    nodes = [p for p in figure.axes[0].patches if isinstance(p, Circle)]
    for node in nodes:
        assert not any(node.get_window_extent().shrunk(0.7, 0.7).overlaps(box) for box in every)


def nodes_of(figure):
    return [p for p in figure.axes[0].patches if isinstance(p, Circle) and p.get_zorder() == 3 and p.get_fill()]


def test_area_is_visits(graph):
    traversal = traverse(graph, 200)
    figure = plot_skill_graph(graph, traversal)
    filled = [p for p in nodes_of(figure) if p.get_facecolor()[3] == 1 and p.get_facecolor()[:3] != (1, 1, 1)]
    visits = traversal["expected_visits"].values
    seen = visits[visits > visits.max() * 0.02]
    areas = np.array([p.get_radius() ** 2 for p in filled])
    assert len(areas) == len(seen)
    np.testing.assert_allclose(areas / areas.max(), seen / seen.max(), rtol=1e-12)


def test_every_edge_is_an_arrow_as_wide_as_it_is_probable(graph):
    figure = plot_skill_graph(graph)
    widths = [p.get_linewidth() for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch) and p.zorder == 1]
    shares = graph.edges.values[graph.edges.values > 0]
    assert len(widths) == len(shares) + 3  # three in the key
    wide = np.sort(widths[: len(shares)])[-8:]
    np.testing.assert_allclose(wide / wide.max(), np.sort(shares)[-8:], rtol=1e-12)


def test_arrows_lead_between_their_skills():
    figure = plot_skill_graph(SkillGraph.from_edges([("a", "b"), ("b", "c"), ("c", "a")], entry="a", goal="c"))
    where = {text.get_text(): text.get_position()[0] for text in labels(figure)}
    assert where["a"] < where["b"] < where["c"]
    arrows = [p.get_path() for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch) and p.zorder == 1][:3]
    # An arrow's head is the last part of its path.
    ends = [(path.vertices[0, 0], path.vertices[path.codes != Path.CLOSEPOLY][-1, 0]) for path in arrows]
    assert sum(begin < end for begin, end in ends) == 2
    assert sum(begin > end for begin, end in ends) == 1


def test_draws_where_it_is_told_and_leaves_settings_alone():
    before = dict(rcParams)
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert plot_skill_graph(SkillGraph.path(3, 0.5), ax=right) is figure
    assert not left.patches
    assert right.patches
    assert dict(rcParams) == before


@pytest.mark.parametrize("budget", [0, 5])
def test_few_or_no_visits(budget):
    lone = SkillGraph.path(1, 0.5)
    tangle = SkillGraph.from_edges(
        [("a", "a"), ("a", "b"), ("b", "a"), ("c", "b")], entry="b", goal=["a", "c"], advance=0.3
    )
    for graph in (lone, tangle):
        figure = plot_skill_graph(graph, traverse(graph, budget))
        FigureCanvasAgg(figure).draw()
        assert len(labels(figure)) == len(graph.skills)


def test_in_words(graph):
    said = say_skill_graph(graph, traverse(graph, 200))
    assert "entered at read the problem, draw a figure; goal: state the answer" in said
    assert "Within 200 steps: success" in said
    assert "eliminate variables to solve quadratic 1.00" in said
    assert "Within" not in say_skill_graph(graph)


def test_refuses_other_traversals(graph):
    with pytest.raises(InputError, match="not of this graph"):
        plot_skill_graph(graph, traverse(SkillGraph.path(2, 0.5), 5))
    with pytest.raises(InputError, match=r"2 budgets; allowed: one, such as traversal\.sel\(budget_steps=9\)"):
        plot_skill_graph(graph, traverse(graph, [4, 9]))
