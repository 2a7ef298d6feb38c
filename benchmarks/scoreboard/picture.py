"""The scoreboard as a picture: one coloured cell for each library and case."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot

from board import SIGNS, Scores, surroundings
from worlds import WORLDS

pyplot.switch_backend("Agg")  # no screen is needed
pyplot.rcParams["svg.fonttype"] = "none"  # text as text: a tenth of the size

COLOURS = {"pass": "#2e8b57", "fail": "#e0a030", "hang": "#b22222", "not offered": "#eeeeee"}
INK = {"pass": "white", "fail": "black", "hang": "white"}


def draw(scores: Scores, path: Path) -> None:
    libraries = scores.ranked()
    rows, y = [], 0.0
    for world in WORLDS:
        of_it = [case for case in scores.cases if world in case.worlds]
        rows += [(y + i, world, case) for i, case in enumerate(of_it)]
        y += len(of_it) + 1.0
    width, height = 0.32 * len(libraries), 0.22 * y
    figure, axes = pyplot.subplots(figsize=(width + 1, height + 1))
    cells = [(x, y, scores.verdict(a, w, c)) for x, a in enumerate(libraries) for y, w, c in rows]
    for verdict, sign in SIGNS.items():
        here = [(x, y) for x, y, found in cells if found == verdict]
        xs, ys = [x for x, _ in here], [y for _, y in here]
        axes.scatter(xs, ys, s=165, marker="s", color=COLOURS[verdict], label=verdict)
        for x, y in here if verdict != "not offered" else []:
            axes.annotate(sign, (x, y), color=INK[verdict], size=8, ha="center", va="center")
    axes.set(xlim=(-0.7, len(libraries) - 0.3), ylim=(rows[-1][0] + 0.7, -0.7))
    axes.xaxis.tick_top()
    names = [f"{library.distribution}  {scores.totals(library)['pass']}" for library in libraries]
    axes.set_xticks(range(len(names)), names, rotation=50, ha="left")
    axes.set_yticks([y for y, _, _ in rows], [case.title for _, _, case in rows], size=8)
    for world in WORLDS:
        of_it = [y for y, of, _ in rows if of == world]
        if of_it:
            middle = (of_it[0] + of_it[-1]) / 2
            axes.annotate(world, (len(libraries) - 0.2, middle), rotation=270, va="center", size=12,
                          annotation_clip=False)  # fmt: skip
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0), ncols=4, frameon=False, markerscale=0.5)
    about = f"Behind a name: passes. {surroundings()}"
    axes.annotate(
        about, (0, 0), (-5, -8), "axes fraction", "offset points", size=8, ha="right", va="top"
    )
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
