"""Pictures: what is in them, and what is said when they cannot be drawn."""

import subprocess
import sys

import numpy as np
import pytest

from pyseq.plotting import align, plot_alignment, plot_transcription
from pyseq.plotting.transcription import peaks

CLASSES = list("0123456789")


def posterior_of(path, n_columns=11):
    """Frames that are nearly sure of the columns of a path."""
    frames = np.full((len(path), n_columns), 0.02 / (n_columns - 1))
    frames[np.arange(len(path)), path] = 0.98
    return frames


class TestAlign:
    def test_equal_sequences_pair_up(self):
        assert align("407", "407") == [("4", "4"), ("0", "0"), ("7", "7")]

    def test_a_missing_label_leaves_a_hole(self):
        assert align("47", "407") == [("4", "4"), (None, "0"), ("7", "7")]
        assert align("407", "47") == [("4", "4"), ("0", None), ("7", "7")]

    def test_a_wrong_label_stands_under_the_right_one(self):
        assert align("417", "407") == [("4", "4"), ("1", "0"), ("7", "7")]

    def test_nothing_was_read(self):
        assert align("", "40") == [(None, "4"), (None, "0")]
        assert align("", "") == []

    def test_labels_of_any_hashable_type(self):
        # -1 and -2 have one hash
        assert align(["ah", -1], ["ah", -2]) == [("ah", "ah"), (-1, -2)]

    @pytest.mark.parametrize("seed", range(20))
    def test_both_sequences_can_be_read_off_and_edits_are_fewest(self, seed):
        from rapidfuzz.distance import Levenshtein

        rng = np.random.default_rng(seed)
        read, truth = ("".join(rng.choice(list("ab1"), size=rng.integers(0, 9))) for _ in range(2))
        pairs = align(read, truth)
        assert "".join(left for left, _ in pairs if left is not None) == read
        assert "".join(right for _, right in pairs if right is not None) == truth
        assert sum(left != right for left, right in pairs) == Levenshtein.distance(read, truth)


class TestPeaks:
    def test_runs_of_a_label_are_one_peak_where_it_is_most_probable(self):
        frames = posterior_of([0, 3, 3, 3, 0, 0, 7])
        frames[3, 3] = 0.99
        assert peaks(frames) == [(3, 3), (7, 6)]

    def test_a_blank_between_makes_two_of_a_label(self):
        assert [peak.column for peak in peaks(posterior_of([5, 0, 5, 6]))] == [5, 5, 6]

    def test_the_blank_can_be_any_column(self):
        assert [peak.column for peak in peaks(posterior_of([10, 0, 10]), blank=10)] == [0]

    def test_blank_frames_alone_have_no_peak(self):
        assert peaks(posterior_of([0, 0])) == []


class TestPicture:
    @pytest.fixture(autouse=True)
    def _figures_are_closed(self):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        pyplot.switch_backend("agg")
        yield
        pyplot.close("all")

    def texts(self, figure):
        return [text.get_text() for axes in figure.axes for text in axes.texts]

    def draw(self, **options):
        rng = np.random.default_rng(0)
        arguments = {
            "X": [rng.random((7, 8)), rng.random((5, 8))],
            "posteriors": [posterior_of([0, 5, 5, 0, 2, 0, 0]), posterior_of([8, 0, 0, 4, 0])],
            "text": ["41", "73"],
            "truth": ["41", "783"],
            "classes": CLASSES,
        }
        return plot_transcription(**(arguments | options))

    def test_shows_image_curves_and_text_of_each_sequence(self):
        figure = self.draw(title="Two lines")
        figure.canvas.draw()
        assert len(figure.axes) == 6
        assert [axes.images[0].get_array().shape for axes in figure.axes[::3]] == [(8, 7), (8, 5)]
        assert [text.get_text() for text in figure.texts] == ["Two lines"]

    def test_writes_labels_over_the_peaks_and_transcriptions_beside(self):
        first = self.draw().axes[1:3]
        assert [text.get_text() for text in first[0].texts] == ["4", "1", "blank"]
        assert [text.get_position()[0] for text in first[0].texts[:2]] == [1, 4]
        assert [text.get_text() for text in first[1].texts] == ["read", "4", "1", "truth", "4", "1", "✓"]

    def test_marks_what_is_wrong_in_red(self):
        beside = self.draw().axes[5]
        red = [text.get_text() for text in beside.texts if text.get_color() == "#d1242f"]
        assert " ".join(text.get_text() for text in beside.texts) == "read 7 · 3 truth 7 8 3 1 edit"
        assert red == ["·", "1 edit"]

    def test_the_truth_may_be_unknown(self):
        texts = self.texts(self.draw(truth=None))
        assert "truth" not in texts
        assert "✓" not in texts

    def test_labels_may_be_words_and_the_blank_the_last_column(self):
        figure = self.draw(
            posteriors=[posterior_of([2, 0, 2, 1, 2, 2, 2], 3), posterior_of([2, 2, 1, 2, 2], 3)],
            text=[["ah", "ee"], ["ee"]], truth=None, classes=["ah", "ee"], blank=2,
        )  # fmt: skip
        assert [text.get_text() for text in figure.axes[1].texts] == ["ah", "ee", "blank"]

    def test_frames_that_stand_for_several_time_steps_are_spread_over_them(self):
        figure = self.draw(X=[np.zeros((8, 8))] * 2, posteriors=[posterior_of([0, 3, 0, 0])] * 2)
        assert figure.axes[1].texts[0].get_position()[0] == 2.5  # frame 1 of 4: time steps 2 and 3

    def test_draws_into_a_given_figure(self):
        from matplotlib import pyplot
        from matplotlib.figure import Figure

        figure = Figure()
        assert self.draw(figure=figure) is figure
        assert not pyplot.get_fignums()

    def test_nothing_overlaps(self):
        figure = self.draw(
            X=[np.zeros((100, 8))] * 2, posteriors=[posterior_of(([0] * 9 + [1]) * 9 + [0] * 10)] * 2,
            text=["000000000"] * 2, truth=["000000000"] * 2, title="Nine digits",
        )  # fmt: skip
        figure.canvas.draw()
        texts = figure.texts + [text for axes in figure.axes for text in axes.texts]
        texts += [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
        boxes = [text.get_window_extent().padded(-1) for text in texts if text.get_text()]
        assert len(boxes) > 50
        page = figure.bbox
        for i, box in enumerate(boxes):
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
            assert not any(box.overlaps(other) for other in boxes[:i])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"X": [], "posteriors": [], "text": [], "truth": []}, "X has no sequences"),
            ({"text": ["41"]}, "text has 1 sequences, expected 2"),
            ({"truth": ["41"]}, "truth has 1 sequences, expected 2"),
            ({"posteriors": []}, "posteriors has 0 sequences, expected 2"),
            ({"X": [np.zeros((3, 2)), np.zeros(3)]}, r"X\[1\] has shape \(3,\)"),
            ({"X": [np.zeros((0, 2)), np.zeros((3, 2))]}, r"X\[0\] has shape \(0, 2\)"),
            ({"classes": "01"}, r"posteriors\[0\] has shape \(7, 11\), expected \(frames, 3\)"),
            ({"blank": 11}, "blank is 11, expected a column from 0 to 10"),
        ],
    )
    def test_wrong_arguments_are_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            self.draw(**options)


def test_without_matplotlib_the_extra_is_named():
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from pyseq.plotting import plot_transcription
try:
    plot_transcription([np.zeros((2, 1))], [np.ones((2, 2)) / 2], ["a"], classes=["a"])
except ImportError as error:
    assert "pip install 'pyseq[plot]'" in str(error), error
else:
    raise AssertionError("drawn without matplotlib")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class TestAlignmentPicture:
    @pytest.fixture(autouse=True)
    def _figures_are_closed(self):
        pyplot = pytest.importorskip("matplotlib.pyplot")
        pyplot.switch_backend("agg")
        yield
        pyplot.close("all")

    def draw(self, **options):
        rng = np.random.default_rng(0)
        arguments = {
            "X": [rng.random((9, 8)), rng.random((6, 8))],
            "text": ["41", "7"],
            "spans": [np.array([[1, 3], [5, 8]]), np.array([[2, 3]])],
            "confidences": [np.array([0.9, 0.25]), np.array([1.0])],
        }
        return plot_alignment(**(arguments | options))

    def test_shows_labels_in_the_middle_of_their_spans(self):
        figure = self.draw(title="Two lines")
        figure.canvas.draw()
        assert len(figure.axes) == 4
        texts = [(text.get_text(), text.get_position()[0]) for text in figure.axes[1].texts]
        assert texts == [("4", 1.5), ("1", 6.0), ("0.25", 6.0)]
        edges = [line.get_xdata()[0] for line in figure.axes[0].lines]
        assert edges == [0.5, 2.5, 4.5, 7.5]

    def test_confidences_may_be_unknown_and_labels_nowhere(self):
        figure = self.draw(confidences=None, spans=[[[1, 3], [5, 8]], [[-1, -1]]])
        assert [len(axes.texts) for axes in figure.axes[1::2]] == [2, 0]

    def test_empty_texts(self):
        figure = self.draw(text=["41", ""], spans=[[[1, 3], [5, 8]], []], confidences=[[1, 1], []])
        figure.canvas.draw()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"X": []}, "X has no sequences"),
            ({"text": ["41"]}, r"text has 1 sequences, expected 2"),
            ({"spans": [[[1, 3]], [[2, 3]]]}, r"spans\[0\] has 1 labels, expected 2"),
            ({"confidences": [[1, 1], []]}, r"confidences\[1\] has 0 labels, expected 1"),
            ({"X": [np.zeros((9, 8)), np.zeros(6)]}, r"X\[1\] has shape \(6,\)"),
            ({"spans": [[[1, 3], [5, 10]], [[2, 3]]]}, r"spans\[0\] ends on frame 10, but X\[0\] has 9"),
        ],
    )
    def test_bad_input_is_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            self.draw(**options)
