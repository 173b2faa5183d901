"""Recurrent layers by ONNX Runtime: inference with its operators LSTM, GRU and RNN, one node a model.

The arrays are in the order of the operator (time first) before the call; a session runs on so many threads of
its own as it is made with, and they spin between calls as they do by default.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.contest import Contestant, Values
from bench.rnn_problem import RnnProblem

# Of each gate of the operator, its place in PyTorch's order: i o f c from i f g o; z r h from r z n.
OPERATORS = {"lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2)), "elman": ("RNN", (0,))}
OPSET, IR_VERSION = 14, 8


def _gates(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[gate] for gate in order])


def model_of(problem: RnnProblem) -> onnx.ModelProto:
    """x (T, B, I) to y (T, D, B, H)."""
    operator, order = OPERATORS[problem.cell]
    by_name: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": []}
    for weights in problem.weights:
        weight_ih, weight_hh, bias_ih, bias_hh = (_gates(array, order) for array in weights)
        by_name["W"].append(weight_ih)
        by_name["R"].append(weight_hh)
        by_name["B"].append(np.concatenate([bias_ih, bias_hh]))
    batch, steps, inputs = problem.x.shape
    directions, hidden = len(problem.weights), problem.hidden
    attributes = {"linear_before_reset": 1} if operator == "GRU" else {}
    node = helper.make_node(
        operator,
        ["x", "W", "R", "B"],
        ["y"],
        hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (steps, batch, inputs))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (steps, directions, batch, hidden))],
        [numpy_helper.from_array(np.stack(arrays), name) for name, arrays in by_name.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def contestant(problem: RnnProblem, threads: int) -> Contestant:
    """Sequences of one length."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model_of(problem).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": np.ascontiguousarray(problem.x.transpose(1, 0, 2))}

    def values(result: list[np.ndarray]) -> Values:
        y = result[0].transpose(2, 0, 1, 3)
        return {"output": problem.frames(y.reshape(*y.shape[:2], -1))}

    return Contestant("ONNX Runtime", lambda: session.run(None, feed), values)
