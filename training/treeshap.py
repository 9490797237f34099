"""Exact path-dependent SHAP values of shallow trees by table look-up, for many rows at once.

The value of a leaf to a feature on its path depends on a row only through which of the path's features the
row satisfies (Lundberg et al. 2020, algorithm 2; the subset sums are tabled before, as in Yang 2021, "Fast
TreeSHAP"). Each tree is cut below into subtrees of depth 3; a subtree's 7 decisions and those above it are at
most 10 bits, so all its leaves' values together are one table row for each pattern of bits, and a row costs
one look-up a subtree.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import factorial

import numpy as np
import xgboost as xgb

CUT = 3
BLOCK = 64
"""Rows looked up at a time: few enough that what they fetch stays in the cache, three times as fast."""


@dataclass(frozen=True)
class Node:
    """A split (feature ≥ 0) or a leaf of a tree, with the rows' weight below it."""

    feature: int
    threshold: float
    missing_left: bool
    right_codes: frozenset[int] | None
    left: int
    right: int
    value: float
    cover: float


Tree = list[Node]


@dataclass(frozen=True)
class Tables:
    """All c subtrees of a booster, padded to the same number of bits b and features f.

    A bit is 1 if `source value < threshold`. Sources are the k columns, then the k columns negated (so that a
    missing value, which is never less, falls to the left), then one for each category split, -1 where the row
    goes left.

    Attributes:
        source: (b, c) which source a bit reads; threshold: (b, c, 1); a padded bit is 0.
        columns: k.
        sets: of each category split its column (s,), whether missing goes left (s,), whether each code does
            (s, l).
        offset: (c, 1) where a subtree's table begins in `values`.
        values: (rows of all tables, f) float32 contributions to the subtree's features.
        order, starts, targets: how the c · f contributions sum into columns.
        base: the expected margin.
    """

    source: np.ndarray
    threshold: np.ndarray
    columns: int
    sets: tuple[np.ndarray, np.ndarray, np.ndarray]
    offset: np.ndarray
    values: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    targets: np.ndarray
    base: float


def tables(booster: xgb.Booster) -> Tables:
    """Work out a booster's tables; about a second for a few hundred trees, done once a model."""
    trees, start = read_trees(booster)
    parts = [part for tree in trees for part in _subtrees(tree)]
    base = start + sum(_expected(tree) for tree in trees)
    return _assemble(parts, base, booster.num_features())


def shap_values(trees: Tables, E: np.ndarray, threads: int = 1) -> np.ndarray:
    """(n, k) contributions in log-odds of encoded rows (n, k); with `trees.base` they sum to the margin."""
    out = np.zeros(E.shape)
    if not len(trees.offset):
        return out

    def block(at: int) -> None:
        out[at : at + BLOCK, trees.targets] = _block(trees, E[at : at + BLOCK]).T

    starts = range(0, len(E), BLOCK)
    if threads == 1 or len(starts) == 1:
        for at in starts:
            block(at)
        return out
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(block, starts))
    return out


def _block(trees: Tables, rows: np.ndarray) -> np.ndarray:
    """(targets, n) contributions of a block of rows."""
    sources = _sources(trees, rows)
    pattern = np.zeros((trees.source.shape[1], len(rows)), dtype=np.int32)
    pattern += trees.offset
    for bit, (source, threshold) in enumerate(zip(trees.source, trees.threshold, strict=True)):
        pattern += (sources[source] < threshold).astype(np.int32) << bit
    values = trees.values[pattern].transpose(0, 2, 1).reshape(-1, len(rows))
    return np.add.reduceat(values[trees.order], trees.starts, axis=0, dtype=np.float64)


def _sources(trees: Tables, rows: np.ndarray) -> np.ndarray:
    plain = rows.T.astype(np.float32)
    columns, missing_left, allowed = trees.sets
    compared = plain[columns]
    codes = np.minimum(np.nan_to_num(compared, nan=0.0).astype(int), allowed.shape[1] - 1)
    left = np.where(
        np.isnan(compared), missing_left[:, None], allowed[np.arange(len(columns))[:, None], codes]
    )
    sets = np.where(left, np.float32(-1), np.float32(1))
    return np.concatenate([plain, -plain, sets])


def read_trees(booster: xgb.Booster) -> tuple[list[Tree], float]:
    """The trees of a booster, and its base score in log-odds."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]
    score = float(str(model["learner_model_param"]["base_score"]).strip("[]"))
    trees = model["gradient_booster"]["model"]["trees"]
    return [_read_tree(tree) for tree in trees], float(np.log(score / (1 - score)))


def _read_tree(tree: dict) -> Tree:
    sets = {}
    for node, at, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        sets[node] = frozenset(tree["categories"][at : at + size])
    nodes = []
    for at, left in enumerate(tree["left_children"]):
        leaf = left < 0
        nodes.append(
            Node(
                feature=-1 if leaf else tree["split_indices"][at],
                threshold=float(np.float32(tree["split_conditions"][at])),
                missing_left=bool(tree["default_left"][at]),
                right_codes=sets.get(at),
                left=left,
                right=tree["right_children"][at],
                value=float(np.float32(tree["split_conditions"][at])) if leaf else 0.0,
                cover=float(tree["sum_hessian"][at]),
            )
        )
    return nodes


def _expected(tree: Tree, at: int = 0) -> float:
    node = tree[at]
    if node.feature < 0:
        return node.value
    left, right = tree[node.left], tree[node.right]
    total = left.cover + right.cover
    return (left.cover * _expected(tree, node.left) + right.cover * _expected(tree, node.right)) / total


@dataclass(frozen=True)
class _Part:
    nodes: list[Node]
    features: list[int]
    table: np.ndarray


def _subtrees(tree: Tree) -> list[_Part]:
    """Cut a tree into subtrees of depth 3 with the decisions above each, and table each."""
    parts = []

    def walk(at: int, path: list[tuple[int, bool]]) -> None:
        node = tree[at]
        if node.feature < 0 or _depth(tree, at) <= CUT:
            if path or node.feature >= 0:
                parts.append(_tabled(tree, at, path))
            return
        walk(node.left, [*path, (at, True)])
        walk(node.right, [*path, (at, False)])

    walk(0, [])
    return parts


def _depth(tree: Tree, at: int) -> int:
    node = tree[at]
    return 0 if node.feature < 0 else 1 + max(_depth(tree, node.left), _depth(tree, node.right))


def _tabled(tree: Tree, root: int, above: list[tuple[int, bool]]) -> _Part:
    leaves = list(_leaves(tree, root, above))
    nodes = sorted({at for path, _ in leaves for at, _ in path})
    features = sorted({tree[at].feature for at in nodes})
    bit_of = {at: bit for bit, at in enumerate(nodes)}
    bits = (np.arange(2 ** len(nodes))[:, None] >> np.arange(len(nodes))) & 1 == 1
    table = np.zeros((len(bits), len(features)))
    for path, leaf in leaves:
        path_features = sorted({tree[at].feature for at, _ in path})
        zero, one = _fractions(tree, path, leaf, path_features, bits, bit_of)
        table[:, [features.index(f) for f in path_features]] += tree[leaf].value * _shapley(zero, one)
    return _Part([tree[at] for at in nodes], features, table)


def _leaves(tree: Tree, at: int, path: list[tuple[int, bool]]):
    node = tree[at]
    if node.feature < 0:
        yield path, at
    else:
        yield from _leaves(tree, node.left, [*path, (at, True)])
        yield from _leaves(tree, node.right, [*path, (at, False)])


def _fractions(
    tree: Tree,
    path: list[tuple[int, bool]],
    leaf: int,
    path_features: list[int],
    bits: np.ndarray,
    bit_of: dict[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """For each feature of a path: the share of training weight that follows it, and whether each pattern
    does.
    """
    zero, one = np.ones(len(path_features)), np.ones((len(bits), len(path_features)), dtype=bool)
    below = [at for at, _ in path[1:]] + [leaf]
    for (at, is_left), child in zip(path, below, strict=True):
        place = path_features.index(tree[at].feature)
        total = tree[tree[at].left].cover + tree[tree[at].right].cover
        zero[place] *= tree[child].cover / total
        one[:, place] &= bits[:, bit_of[at]] == is_left
    return zero, one


def _shapley(zero: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(patterns, d) Shapley values of the product game: a feature in the coalition gives one, else zero's
    share.
    """
    d = len(zero)
    out = np.zeros(one.shape)
    for place in range(d):
        others = [j for j in range(d) if j != place]
        # sums[s]: over coalitions of s others, the product of ones inside and zeros outside
        sums = np.zeros((d, len(one)))
        sums[0] = 1.0
        for count, j in enumerate(others, 1):
            sums[1 : count + 1] = sums[1 : count + 1] * zero[j] + sums[:count] * one[:, j]
            sums[0] *= zero[j]
        weights = np.array([factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)])
        out[:, place] = (weights @ sums) * (one[:, place] - zero[place])
    return out


def _assemble(parts: list[_Part], base: float, columns: int) -> Tables:
    c, b, f = (len(parts), *(max((len(each) for each in some), default=0) for some in _lengths(parts)))
    source, threshold = np.zeros((b, c), dtype=int), np.full((b, c, 1), -np.inf, dtype=np.float32)
    target, sizes, values = np.zeros((c, f), dtype=int), np.zeros(c, dtype=int), []
    sets: dict[tuple[int, bool, frozenset[int]], int] = {}
    for at, part in enumerate(parts):
        flipped = 0
        for bit, node in enumerate(part.nodes):
            source[bit, at], threshold[bit, at, 0], is_flipped = _decision(node, columns, sets)
            flipped |= is_flipped << bit
        target[at, : len(part.features)] = part.features
        sizes[at] = len(part.table)
        table = part.table[np.arange(len(part.table)) ^ flipped]
        values.append(np.pad(table, ((0, 0), (0, f - table.shape[1]))).astype(np.float32))
    order = np.argsort(target.ravel(), kind="stable")
    targets, starts = np.unique(target.ravel()[order], return_index=True)
    offset = (np.cumsum(sizes) - sizes)[:, None].astype(np.int32)
    stacked = np.concatenate(values) if values else np.zeros((0, f), dtype=np.float32)
    return Tables(
        source, threshold, columns, _sets(list(sets)), offset, stacked, order, starts, targets, base
    )


def _lengths(parts: list[_Part]) -> tuple[list[list[Node]], list[list[int]]]:
    return [part.nodes for part in parts], [part.features for part in parts]


def _decision(
    node: Node, columns: int, sets: dict[tuple[int, bool, frozenset[int]], int]
) -> tuple[int, float, bool]:
    """Which source a bit reads, its threshold, and whether it is 1 for rows going right."""
    if node.right_codes is not None:
        place = sets.setdefault((node.feature, node.missing_left, node.right_codes), len(sets))
        return 2 * columns + place, 0.0, False
    if node.missing_left:
        return (
            columns + node.feature,
            float(np.nextafter(np.float32(-node.threshold), np.float32(np.inf))),
            True,
        )
    return node.feature, node.threshold, False


def _sets(splits: list[tuple[int, bool, frozenset[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The category splits as arrays; the last code stands for all beyond, which XGBoost sends left."""
    size = max((max(codes) for _, _, codes in splits if codes), default=0) + 2
    allowed = np.array([[code not in codes for code in range(size)] for _, _, codes in splits], dtype=bool)
    columns = np.array([column for column, _, _ in splits], dtype=int)
    return columns, np.array([left for _, left, _ in splits], dtype=bool), allowed.reshape(len(splits), size)
