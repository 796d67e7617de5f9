"""Schur trees: on paper for large rasters, and measured against the factor of the whole.

``python -m bench.schur_tree`` prints what a tree and certified tiles take of rasters of 10,980 x 10,980 and 36,000 x
18,000 pixels: tasks, operations, bytes, critical path, and the time on a number of cores by list scheduling of the task
graph. Sizes come from the class tables; seconds from the operations a second of one core of this machine, measured on
one tile and one front (or given, in 1e9 operations a second: ``--rates TILE FRONT``), and 1 ms a task. Every task runs
on one core, and moving bytes costs nothing.

``python -m bench.schur_tree --run SIDE`` measures processor time, wall-clock time and the growth of resident memory
(Linux) of tree and whole, each in a process of its own.
"""

import argparse
import heapq
import json
import subprocess
import sys
import tempfile
import time
from functools import lru_cache

import numpy as np

import sparsegmrf
from bench.one_factor import peak_bytes, reset_peak
from sparsegmrf import SymmetricStencil, fit, large
from sparsegmrf.factors.dissection._subtree import Separator, Subtree, plan_subtree
from sparsegmrf.fields import Lattice
from sparsegmrf.large._geometry import cores_of
from sparsegmrf.large._tree_plan import TreePlan
from sparsegmrf.models import CAR, TensionSpline

PATTERNS = {
    "first order (5 points)": [(0, 0), (0, 1), (1, 0)],
    "second order (13 points)": [(0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)],
}
RASTERS = (((10_980, 10_980), (1, 16, 256)), ((36_000, 18_000), (1, 64)))
OVERHEAD = 1e-3
HALO = 64
CORE = 512
PASSES = 2
"""Of certified tiles over the raster for the mean, after the one that makes the bounds."""


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=int, metavar="SIDE", help="measure instead")
    parser.add_argument("--here", choices=("tree", "loglik", "whole"), help="measure one in this process, as JSON")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--rates", type=float, nargs=2, metavar=("TILE", "FRONT"))
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.here, arguments.run, arguments.tile)))
    elif arguments.run:
        compare(arguments.run, arguments.tile)
    else:
        on_paper(arguments.tile, arguments.rates or None)


def on_paper(tile, rates):
    """Print what trees and certified tiles take."""
    print("| raster | field | method | tasks | operations | kept GB | waiting GB | moved GB | path s | s on cores |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rates_of = {}
    for name, offsets in PATTERNS.items():
        pattern = np.array(offsets)
        speed = rates_of[name] = [1e9 * each for each in rates] if rates else measured_rates(pattern, tile)
        for shape, cores in RASTERS:
            for method, graph in (
                ("tree, likelihood", tree_graph(shape, pattern, tile, speed, back=False)),
                ("tree, all", tree_graph(shape, pattern, tile, speed, back=True)),
                ("certified tiles", tiles_graph(shape, pattern, speed)),
            ):
                times = ", ".join(f"{count}: {graph.makespan(count):,.0f}" for count in cores)
                print(
                    f"| {shape[0]:,} x {shape[1]:,} | {name} | {method} | {len(graph.seconds):,} | "
                    f"{graph.operations:.2g} | {graph.kept / 1e9:.3g} | {graph.waiting / 1e9:.3g} | "
                    f"{graph.moved / 1e9:.3g} | {graph.critical_path():,.0f} | {times} |"
                )
    for name, (of_tile, of_front) in rates_of.items():
        print(f"\n{name}: {of_tile / 1e9:.3g} and {of_front / 1e9:.3g} 1e9 operations/s of one core, in tile and front")


class Graph:
    """Tasks with seconds, bytes that each hands on, and what they need."""

    def __init__(self):
        self.seconds, self.needs = [], []
        self.operations = self.moved = self.kept = self.waiting = 0.0

    def add(self, operations, rate, needs, moved=0.0):
        """Add a task; return its number."""
        self.seconds.append(operations / rate + OVERHEAD)
        self.needs.append(list(needs))
        self.operations += operations
        self.moved += moved
        return len(self.seconds) - 1

    def tails(self):
        """Seconds from the start of each task to the end, along the longest way."""
        tail = list(self.seconds)
        for task in range(len(tail) - 1, -1, -1):
            for before in self.needs[task]:
                tail[before] = max(tail[before], self.seconds[before] + tail[task])
        return tail

    def critical_path(self):
        """Seconds with any number of cores."""
        return max(self.tails())

    def makespan(self, cores):
        """Seconds on some cores, of the tasks that are ready the one with the longest way first."""
        tail, missing = self.tails(), [len(set(needs)) for needs in self.needs]
        after = [[] for _ in self.seconds]
        for task, needs in enumerate(self.needs):
            for before in set(needs):
                after[before].append(task)
        ready = [(-tail[task], task) for task, count in enumerate(missing) if not count]
        heapq.heapify(ready)
        running, now = [], 0.0
        while ready or running:
            while ready and len(running) < cores:
                task = heapq.heappop(ready)[1]
                heapq.heappush(running, (now + self.seconds[task], task))
            now, done = heapq.heappop(running)
            for task in after[done]:
                missing[task] -= 1
                if not missing[task]:
                    heapq.heappush(ready, (-tail[task], task))
        return now


def tree_graph(shape, offsets, tile, speed, *, back):
    """The tasks of a Schur tree: eliminations up, and with `back` covariances down, leaves factorized again."""
    plan, graph, up, down = TreePlan.of(shape, offsets, 1, tile), Graph(), {}, {}
    cost = lru_cache(maxsize=None)(lambda key: leaf_operations(key, offsets.tobytes()))
    live = 0.0
    for node in plan.nodes:
        s, b = plan.sizes(node)
        handed = 4.0 * b * (b + 1)
        if node.halves:
            up[node.number] = graph.add(front_operations(s, b), speed[1], [up[half] for half in node.halves], handed)
            live -= sum(4.0 * c * (c + 1) for half in node.halves for c in [plan.sizes(plan.nodes[half])[1]])
        else:
            up[node.number] = graph.add(cost(node.key), speed[0], [], handed)
        live += handed
        graph.waiting = max(graph.waiting, live)
    if back:
        graph.kept = plan.panel_bytes
        for node in plan.nodes[::-1]:
            s, b = plan.sizes(node)
            needs = [down[plan.parents[node.number]]] if node.number in plan.parents else [up[node.number]]
            handed = 4.0 * b * (b + 1)
            if node.halves:  # the selected inverse takes twice the operations of the factor
                down[node.number] = graph.add(2.0 * front_operations(s, b), speed[1], needs, handed + 8.0 * s * (s + b))
            else:
                down[node.number] = graph.add(3.0 * cost(node.key), speed[0], needs, handed)
    return graph


def tiles_graph(shape, offsets, speed):
    """The tasks of certified tiles: two bounds with selected inverses, then passes for the mean, and its bound."""
    graph = Graph()
    cost = lru_cache(maxsize=None)(lambda key: leaf_operations(key, offsets.tobytes()))
    windows = [core.grown(HALO, shape) for core in cores_of(shape, CORE)]
    sizes = [cost((*window.shape, 0, 0, 0, 0)) for window in windows]
    halos = [8.0 * (window.n_pixels - CORE * CORE) for window in windows]
    made = [graph.add(6.0 * size, speed[0], [], 2.0 * halo) for size, halo in zip(sizes, halos, strict=True)]
    for _ in range(PASSES + 1):
        step = graph.add(0.0, speed[0], made)
        made = [graph.add(size, speed[0], [step], halo) for size, halo in zip(sizes, halos, strict=True)]
    graph.add(0.0, speed[0], made)
    return graph


def front_operations(s, b):
    """Operations of eliminating ``s`` unknowns of a front."""
    return s**3 / 3 + s * s * b + s * b * b


def leaf_operations(key, offsets):
    """Operations of factorizing a tile."""
    return plan_subtree(key, np.frombuffer(offsets, dtype=np.int64).reshape(-1, 2), 1).operations


def measured_rates(offsets, tile):
    """Operations a second of one core in a tile and in the front of a separator of 2048 pixels, by processor time."""
    before = sparsegmrf.get_num_threads()
    sparsegmrf.set_num_threads(1)
    try:
        reach = int(np.abs(offsets).max())
        key, rates = (tile, tile, reach, reach, reach, reach), []
        Q = coefficients(offsets, (tile + 2 * reach, tile + 2 * reach))
        Subtree(Q, key[2:])
        start = time.process_time()
        Subtree(Q, key[2:])
        rates.append(leaf_operations(key, offsets.tobytes()) / (time.process_time() - start))
        side = 2048 // reach
        key = (side + reach, side, 0, 0, reach, reach)
        node = Separator(Lattice((3 * reach, side + reach)), offsets, key, (-side // 2, 0), side * side // 2)
        halves = []
        for order in node._analysis.order[:2]:
            rows, columns = np.triu_indices(order)
            halves.append(np.where(rows == columns, 1.0, 0.0))
        start = time.process_time()
        node.eliminate(coefficients(offsets, (3 * reach, side + reach)), tuple(halves))
        rates.append(front_operations(node.s, node.m - node.s) / (time.process_time() - start))
        return rates
    finally:
        sparsegmrf.set_num_threads(before)


def coefficients(offsets, shape):
    """A diagonally dominant stencil with coefficients per pixel."""
    planes = np.full((len(offsets), *shape), -1.0)
    planes[0] = 2.0 * len(offsets) + np.random.default_rng(0).random(shape)
    return SymmetricStencil.from_planes([tuple(offset) for offset in offsets.tolist()], planes)


def compare(side, tile):
    """Measure tree and whole, and print a table."""
    print(f"{side} x {side} pixels, 30% missing, {sparsegmrf.get_num_threads()} threads, tiles of {tile}\n")
    print("| field | what | s | processor s | GB | log-likelihood |")
    print("|---|---|---|---|---|---|")
    for what in ("loglik", "tree", "whole"):
        command = [sys.executable, "-m", "bench.schur_tree", "--run", str(side), "--here", what, "--tile", str(tile)]
        lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        for field, row in json.loads(lines[-1]).items():
            print(f"| {field} | {what} | {row[0]:.1f} | {row[1]:.1f} | {row[2] / 1e9:.2f} | {row[3]:.6f} |", flush=True)


def measure(what, side, tile):
    """Measure likelihood by a tree, or likelihood, gradient, mean and variances by a tree or in memory."""
    found = {}
    for field, model in {"first order": CAR(0.2499), "second order": TensionSpline(0.4, 2.0)}.items():
        rng = np.random.default_rng(0)
        image = rng.standard_normal((side, side))
        image[rng.random(image.shape) < 0.3] = np.nan
        evaluate(what, model, image[:600, :600], tile)
        before = reset_peak()
        start, used = time.perf_counter(), time.process_time()
        loglik = evaluate(what, model, image, tile)
        found[field] = time.perf_counter() - start, time.process_time() - used, peak_bytes() - before, loglik
    return found


def evaluate(what, model, image, tile):
    """Return the log-likelihood, and work out the rest."""
    if what == "whole":
        fixed = tuple(model.parameters)
        found = fit(model, image, mask="nan", noise_variance=0.3, covariates=None, fixed=fixed)
        found.predict()
        return found.loglik
    with tempfile.TemporaryDirectory() as folder:
        tree = large.SchurTree(model, image, noise_variance=0.3, tile=tile, scratch=folder)
        return tree.loglik() if what == "loglik" else tree.condition(gradient=True).loglik


if __name__ == "__main__":
    main()
