"""The arithmetic of the benches: what they compare, and when they refuse. Nothing is timed, no peer runs."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

if not (ROOT / "bench" / "contest.py").is_file():
    pytest.skip("this checkout has no bench/", allow_module_level=True)
sys.path.insert(0, str(ROOT))
try:
    from bench import contest, conv_pyseq, ctc_problem, ctc_systems, grid, results, rnn_pyseq, tables
    from bench.workloads_conv import ConvWorkload
    from bench.workloads_ctc import CtcWorkload
    from bench.workloads_ctc_decode import DecodingWorkload
    from bench.workloads_rnn import RnnWorkload
finally:
    sys.path.remove(str(ROOT))


def system(name, rounds, precision="highest", ours=False, agrees=True):
    return {
        "name": name, "precision": precision, "ours": ours,
        "agrees": agrees, "error": 0.5, "error_in": "grad_x",
        "median": float(np.median(rounds)), "quartiles": [min(rounds), max(rounds)], "rounds": rounds,
    }  # fmt: skip


def record(*systems, threads=1):
    return {
        "workload": "LSTM training 1/2/3/4", "threads": threads, "operations": 1e9, "step_operations": 2e6,
        "targets": {"highest": 2.0}, "systems": list(systems), "labels": {},
    }  # fmt: skip


def test_every_workload_has_a_name_of_its_own_and_targets_that_mean_something():
    names = [workload.name for workload in contest.select(None)]
    assert len(set(names)) == len(names)
    for workload in contest.select(None):
        assert set(workload.targets) <= set(contest.PRECISIONS)
        assert workload.operations >= workload.step_operations > 0


def test_only_selects_by_part_of_the_name():
    assert {w.cell for w in contest.select("gru training, ELMAN")} == {"gru", "elman"}
    assert {type(w) for w in contest.select("ctc")} == {CtcWorkload, DecodingWorkload}
    assert contest.select("sparkle") == []


def test_training_counts_three_forward_passes():
    forward = RnnWorkload("gru", 10, 4, 5, 6, training=False)
    assert forward.operations == 2 * 3 * 6 * (5 + 6) * 10 * 4
    assert RnnWorkload("gru", 10, 4, 5, 6, training=True).operations == 3 * forward.operations


def test_the_grid_has_every_size_once_and_bounded_work():
    points = grid.workloads()
    assert len({p.name for p in points}) == len(points) == len(grid.HIDDEN) * len(grid.BATCH) * 3 * 2
    assert all(p.operations <= grid.LARGEST or p.steps == grid.FEWEST_STEPS for p in points)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [{}, {"ragged": "packed"}, {"bidirectional": True}], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_what_is_timed_computes_the_reference(cell, kind, training):
    problem = RnnWorkload(cell, 20, 3, 4, 5, training, **kind).problem()
    ours = rnn_pyseq.contestant(problem, "highest")
    error = contest.furthest(ours.values(ours.call()), rnn_pyseq.reference(problem))
    assert error.size < 1e-5, error


@pytest.mark.parametrize("training", [False, True])
def test_what_is_timed_of_a_convolution_computes_the_reference(training):
    workload = ConvWorkload(20, 3, 4, 5, 2, training)
    assert workload.operations == 2 * 5 * 4**2 * 20 * 3 * (3 if training else 1)
    ours = conv_pyseq.contestant(workload.problem(), "highest")
    error = contest.furthest(ours.values(ours.call()), conv_pyseq.reference(workload.problem()))
    assert error.size < 1e-5, error


DECODERS_OF_OTHERS = ("flashlight", "pyctcdecode")


@pytest.mark.parametrize(
    "options", [{"greedy": True}, {}, {"extras": ("3-gram", "hot words"), "beside": ()}], ids=str
)
def test_decoders_that_are_timed_compute_the_reference(options):
    prepared = DecodingWorkload("peaked", 12, **options).prepare(1, ["highest"])
    exact = [c for c in prepared.contestants if c.name not in DECODERS_OF_OTHERS]
    assert [c.ours for c in exact] == [True, *[False] * (options != {})]
    for contestant in exact:
        error = contest.furthest(contestant.values(contestant.call()), prepared.reference)
        assert error.size < 1e-5, error


@pytest.mark.parametrize("peer", DECODERS_OF_OTHERS)
def test_decoders_of_others_find_what_is_about_as_likely(peer):
    pytest.importorskip(peer)
    prepared = DecodingWorkload("peaked", 12).prepare(1, ["highest"])
    (contestant,) = [c for c in prepared.contestants if c.name == peer]
    assert contest.agrees(contestant, contestant.values(contestant.call()), prepared.reference)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_timed_ctc_loss_computes_the_reference(reuse):
    problem = CtcWorkload(40, 3, 7, 5, reuse=reuse).problem()
    ours = ctc_systems.pyseq(problem, reuse=reuse)
    for _ in range(2):
        assert contest.agrees(ours, ours.values(ours.call()), ctc_problem.reference(problem))


def test_a_system_may_have_limits_of_its_own_for_some_arrays():
    reference = {"losses": np.ones(2), "gradient": np.ones(3)}
    off = {"losses": np.ones(2), "gradient": np.full(3, 1.1)}
    strict = contest.Contestant("peer", dict, dict)
    loose = contest.Contestant("peer", dict, dict, limits={"gradient": 0.3})
    assert not contest.agrees(strict, off, reference)
    assert contest.agrees(loose, off, reference)
    assert not contest.agrees(loose, {"losses": off["gradient"], "gradient": np.ones(3)}, reference)
    assert not contest.agrees(loose, {"losses": np.ones(2)}, reference)


def test_other_values_shapes_or_names_are_noticed():
    reference = {"output": np.array([1.0, -4.0]), "grad_x": np.ones(3)}
    same = contest.furthest(dict(reference), reference)
    assert same.size == 0.0
    changed = contest.furthest({**reference, "output": np.array([2.0, -4.0])}, reference)
    assert (changed.array, changed.size) == ("output", 0.25)
    for wrong in (
        {**reference, "output": np.array([np.nan, -4.0])},
        {**reference, "output": np.ones(1)},
        {"output": reference["output"]},
    ):
        assert math.isinf(contest.furthest(wrong, reference).size)


def test_the_ratio_is_to_the_best_peer_of_the_same_precision_round_by_round():
    compared = record(
        system("pyseq", [1.0, 2.0, 4.0], ours=True),
        system("pyseq", [1.0, 1.0, 1.0], "medium", ours=True),
        system("slow", [9.0, 9.0, 9.0]),
        system("best", [3.0, 6.0, 8.0]),
        system("half", [2.0, 2.0, 2.0], "medium"),
    )
    assert results.ratio(compared, "highest") == 3.0
    assert results.ratio(compared, "medium") == 2.0
    assert results.ratio(compared, "high") is None


def test_there_is_no_ratio_where_values_differ():
    compared = record(system("pyseq", [1.0], ours=True), system("peer", [3.0], agrees=False))
    assert results.ratio(compared, "highest") is None
    (line,) = tables.differences([compared])
    assert "peer differs in grad_x by 5.0e-01" in line


def test_a_report_says_whether_targets_are_met():
    run = {
        "machine": {"CPU": "some"},
        "peaks": {
            str(n): {
                "float32_gflops": 10.0,
                "bfloat16_gflops": None,
                "tile_gflops": None,
                "l2_gbytes": 2.0,
                "memory_gbytes": 1.0,
            }
            for n in (1, 2)
        },
        "busy": {"1": [0.0, 0.0], "2": [None, None]},
        "records": [
            record(system("pyseq", [1.0], ours=True), system("peer", [3.0])),
            record(system("pyseq", [0.8], ours=True), system("peer", [1.0]), threads=2),
        ],
    }
    text = tables.comparison(run)
    one, two = (line.split() for line in text.splitlines() if line.startswith("LSTM training"))
    assert one[3:] == ["highest", "1000", "3000", "3.00", "2", "met", "1", "10", "%", "0", "%"]
    assert two[3:] == ["highest", "800", "1000", "1.25", "2", "NOT", "met", "1", "12", "%", "0", "%", "1.25!"]
    assert "| LSTM training 1/2/3/4 | highest | 1000 |" in tables.comparison(run, markdown=True)
