"""Writes an LSTM as an ONNX graph, with one LSTM operator for each direction and layer.

torch's exporter takes half a minute for a worse graph: it runs over the padding, and torch 2.13's optimizer leaves the
example's length in a Reshape, so that texts of any other length fail.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from plaudit.models.base import Float32Array
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.text.encoded import UNKNOWN_ID

if TYPE_CHECKING:
    import onnx

_START = """
<ir_version: 8, opset_import: ["": {opset}]>
lstm (int64[batch, tokens] ids, bool[batch, tokens] mask) => (float[batch, {num_classes}] logits) {{
    axis_0 = Constant<value_ints = [0]>()
    axis_1 = Constant<value_ints = [1]>()
    axis_2 = Constant<value_ints = [2]>()
    lowest = Constant<value_float = -inf>()
    zero = Constant<value_int = 0>()
    one = Constant<value_int = 1>()
    unknown = Constant<value_int = {unknown_id}>()
    given_int64 = Cast<to = 7>(mask)
    given_lengths = ReduceSum<keepdims = 1>(given_int64, axis_1)
    empty = Equal(given_lengths, zero)
    shape = Shape(ids)
    ones = Expand(one, shape)
    positions = CumSum(ones, one)
    first = Equal(positions, one)
    added = And(empty, first)
    mask_used = Or(mask, added)
    ids_used = Where(added, unknown, ids)
    mask_int32 = Cast<to = 6>(mask_used)
    lengths = ReduceSum<keepdims = 0>(mask_int32, axis_1)
    mask_by_token = Transpose(mask_used)
    inside = Unsqueeze(mask_by_token, axis_2)
    ids_by_token = Transpose(ids_used)
    embedded = Gather(embedding, ids_by_token)
"""
_LAYER = """
    {layer}_all, {layer}_end = LSTM<hidden_size = {hidden_size}, direction = "{direction}">(
        {states}, {layer}_input, {layer}_recurrent, {layer}_bias, lengths)
    {layer} = Squeeze({layer}_all, axis_1)
"""
_POOLING = {
    "last": """
    {direction}_last = Squeeze({layer}_end, axis_0)
""",
    "max": """
    {layer}_inside = Where(inside, {layer}, lowest)
    {direction}_max = ReduceMax<keepdims = 0>({layer}_inside, axis_0)
""",
    # States are 0 in the padding.
    "mean": """
    {direction}_sum = ReduceSum<keepdims = 0>({layer}, axis_0)
    {direction}_count = Cast<to = 1>(lengths)
    {direction}_counts = Unsqueeze({direction}_count, axis_1)
    {direction}_mean = Div({direction}_sum, {direction}_counts)
""",
    "attention": """
    {direction}_products = MatMul({layer}, {direction}_attention_weight)
    {direction}_scores = Add({direction}_products, {direction}_attention_bias)
    {direction}_scores_inside = Where(inside, {direction}_scores, lowest)
    {direction}_shares = Softmax<axis = 0>({direction}_scores_inside)
    {direction}_parts = Mul({direction}_shares, {layer})
    {direction}_attention = ReduceSum<keepdims = 0>({direction}_parts, axis_0)
""",
}
_END = """
    features = Concat<axis = 1>({features})
    logits = Gemm<transB = 1>(features, classifier_weight, classifier_bias)
}}
"""


def lstm_proto(settings: LSTMSettings, weights: Mapping[str, Float32Array], *, opset: int) -> "onnx.ModelProto":
    """Return the graph of a network's weights: ids and mask [batch, tokens] → logits [batch, classes].

    A text whose mask is all false counts as one unknown word, as in the model itself.
    """
    from onnx import numpy_helper, parser

    constants = {name.replace(".", "_"): weights[name] for name in ("classifier.weight", "classifier.bias")}
    constants["embedding"] = weights["embedding.weight"]
    graph = _START.format(opset=opset, unknown_id=UNKNOWN_ID, num_classes=len(weights["classifier.bias"]))
    features = []
    for i, direction in enumerate("reverse" if from_end else "forward" for from_end in settings.from_end):
        tensors = {name.removeprefix(f"directions.{i}."): values for name, values in weights.items()}
        layer = "embedded"
        for depth in range(settings.num_layers):
            states, layer = layer, f"{direction}_{depth}"
            constants |= _layer_constants(layer, tensors, f"layers.{depth}.")
            graph += _LAYER.format(layer=layer, states=states, direction=direction, hidden_size=settings.hidden_size)
        if "attention" in settings.pooling:
            constants[f"{direction}_attention_weight"] = tensors["attention.weight"].T
            constants[f"{direction}_attention_bias"] = tensors["attention.bias"]
        for how in settings.pooling:
            graph += _POOLING[how].format(layer=layer, direction=direction)
            features.append(f"{direction}_{how}")
    proto = parser.parse_model(graph + _END.format(features=", ".join(features)))
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in constants.items()
    )
    return proto


def _layer_constants(layer: str, weights: dict[str, Float32Array], prefix: str) -> dict[str, Float32Array]:
    def gates(name: str) -> Float32Array:
        # torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell.
        by_gate = np.split(weights[f"{prefix}{name}_l0"], 4)
        return np.concatenate([by_gate[gate] for gate in (0, 3, 1, 2)])[None]

    return {
        f"{layer}_input": gates("weight_ih"),
        f"{layer}_recurrent": gates("weight_hh"),
        f"{layer}_bias": np.concatenate([gates("bias_ih"), gates("bias_hh")], axis=1),
    }
