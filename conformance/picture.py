"""The scoreboard as a picture: one coloured cell for each library and case."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot

from board import SIGNS, Scores, surroundings
from worlds import WORLDS

pyplot.switch_backend("Agg")  # no screen is needed

COLOURS = {"pass": "#2e8b57", "fail": "#e0a030", "hang": "#b22222", "not offered": "#eeeeee"}
INK = {"pass": "white", "fail": "black", "hang": "white", "not offered": "#bbbbbb"}


def draw(scores: Scores, path: Path) -> None:
    rows = [(world, case) for world in WORLDS for case in scores.cases if world in case.worlds]
    libraries = scores.ranked()
    figure, axes = pyplot.subplots(figsize=(5.2 + 0.42 * len(libraries), 1.9 + 0.22 * len(rows)))
    for y, (world, case) in enumerate(rows):
        for x, library in enumerate(libraries):
            verdict = scores.verdict(library, world, case)
            axes.add_patch(pyplot.Rectangle((x, y), 0.94, 0.9, color=COLOURS[verdict], lw=0))
            axes.text(x + 0.47, y + 0.48, SIGNS[verdict], color=INK[verdict], fontsize=8,
                      ha="center", va="center")  # fmt: skip
    axes.set_xlim(0, len(libraries))
    axes.set_ylim(len(rows), 0)
    axes.xaxis.tick_top()
    names = [f"{x.distribution}  {scores.totals(x)['pass']}" for x in libraries]
    axes.set_xticks([x + 0.47 for x in range(len(names))], names, rotation=50, ha="left")
    axes.set_yticks(
        [y + 0.45 for y in range(len(rows))],
        [f"{case.title}  [{world}]" for world, case in rows],
        fontsize=8,
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.legend(
        handles=[pyplot.Rectangle((0, 0), 1, 1, color=COLOURS[v], label=f"{SIGNS[v]} {v}")
                 for v in SIGNS],
        loc="upper center", bbox_to_anchor=(0.5, -0.005), ncols=4, frameon=False,
    )  # fmt: skip
    axes.set_xlabel(f"Behind each name: passes. {surroundings()}", labelpad=24, fontsize=8)
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
