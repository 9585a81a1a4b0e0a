"""The compiled LSTM layer of `runtime.py`: rows of gate inputs in, pooled states out.

A step takes TEXTS texts at once through one tile of units after another: LANES units with their four gates, so that the
gates of all texts fill 4 · TEXTS vector registers. A loop over the units of the previous step adds to the gates,
loading each weight once for all texts; then the gates give the cell and its output. LLVM does not keep such a block in
registers on its own, and every product would cost a load and a store. So the tile is written in LLVM's vector
instructions, which LLVM compiles for the machine. Everything around the tile is plain numba.

Units are padded to whole tiles by weights of zero, whose states stay zero. Gate inputs and recurrent weights lie in the
order in which tiles read them (`tiled`).

Shapes: N texts, T tokens, R rows, H hidden, P H padded.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# (numba infers the argument types of the compiled functions, so theirs are not annotated)

import functools
import math
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]  # it comes without types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from plaudit.compiled import compiled
from plaudit.models.base import Float32Array
from plaudit.models.lstm.vector_ir import INT32, INT64, Emitter, Vector

# AVX-512 has 32 registers of 16 lanes. Elsewhere gates take 12 of the 16 registers of AVX2, or 24 of NEON's 32.
LANES, TEXTS = (16, 6) if binding.get_host_cpu_features().get("avx512f") else (8, 3)
LAST_LANES = 8
"""Units are padded to a multiple of this, the width of the last tile if a whole one would be half empty."""

POOLS = ("mean", "max", "last", "attention")

# tanh(x) = x · P(x²) / Q(x²) up to |x| = 7 and constant beyond, to 1.2e-6: a minimax fit.
_TANH_P = (9.99995688e-01, 1.23021919e-01, 2.27699622e-03, 3.93004198e-06)
_TANH_Q = (1.0, 4.56340405e-01, 2.10722158e-02, 1.42351581e-04)
_TANH_LIMIT = 7.0

_INT8 = ir.IntType(8)
_CACHE_LINE = 16

_compiled = compiled(error_model="numpy")


class Layer(NamedTuple):
    """One layer of one direction."""

    recurrent: Float32Array
    """Weights from the units of the previous step, [H · 4P], tile after tile."""
    attention: Float32Array
    """Weights of the attention score, [P], or [0] without attention."""
    num_hidden: int


def padded(num_hidden: int) -> int:
    """Return the number of units, padded to fill the last tile."""
    return -(-num_hidden // LAST_LANES) * LAST_LANES


def tiled(gates: Float32Array) -> list[Float32Array]:
    """Cut [..., 4H], in torch's order of gates (input, forget, cell, output), into tiles [..., 4 · lanes].

    All gates but the cell's are halved: their sigmoid is (1 + tanh(x / 2)) / 2.
    """
    num_hidden = gates.shape[-1] // 4
    width = padded(num_hidden)
    by_gate = np.zeros((*gates.shape[:-1], 4, width), np.float32)
    by_gate[..., :num_hidden] = gates.reshape(*gates.shape[:-1], 4, num_hidden)
    by_gate *= np.array([[0.5], [0.5], [1.0], [0.5]], np.float32)
    return [by_gate[..., cut : cut + LANES].reshape(*gates.shape[:-1], -1) for cut in range(0, width, LANES)]


def _polynomial(x: Vector, coefficients: tuple[float, ...]) -> Vector:
    *rest, second, first = coefficients
    return functools.reduce(lambda result, coefficient: result * x + coefficient, reversed(rest), x * first + second)


def _tanh(x: Vector) -> tuple[Vector, Vector]:
    """Return numerator and denominator, so that several quotients share one division, which is slow."""
    x = x.choose("<", _TANH_LIMIT).choose(">", -_TANH_LIMIT)
    square = x * x
    return x * _polynomial(square, _TANH_P), _polynomial(square, _TANH_Q)


def _lstm_cell(gates: list[Vector], cell: Vector) -> tuple[Vector, Vector]:
    """Return the new cell and output, given the gates as `tiled` scales them."""
    (i, below_i), (f, below_f), (g, below_g), (o, below_o) = map(_tanh, gates)
    below_both = below_i * below_g
    cell = ((f + below_f) * below_both * cell + (i + below_i) * g * below_f) / ((below_f + below_f) * below_both)
    c, below_c = _tanh(cell)
    return cell, (o + below_o) * c / ((below_o + below_o) * below_c)


@intrinsic(prefer_literal=True)
def _step_tile(typing_context, lanes, texts, rows, origins, recurrent, num_hidden, states, steps, cells, unit):
    """Take one step with each of `texts` texts, in the units from `unit` on.

    `rows` [R, 4P] holds gate inputs, those of a text in its row origins[text]. The states before are in row steps[text]
    of states [texts, 1 + T, P], and the new ones go to the next row. cells [texts, P] change in place.
    """
    num_lanes, num_texts = lanes.literal_value, texts.literal_value

    def generate(context, builder: ir.IRBuilder, signature, arguments):
        emit = Emitter(builder, num_lanes)
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (2, 3, 4, 6, 7, 8)]
        rows, origins, recurrent, states, steps, cells = (array.data for array in arrays)
        num_hidden, unit = arguments[5], arguments[9]
        _, states_each, width = (builder.extract_value(arrays[3].shape, i) for i in range(3))
        stride = emit.product(states_each, width)

        gates = [emit.variables(4) for _ in range(num_texts)]
        for text in range(num_texts):
            row = emit.at(rows, emit.product(builder.load(emit.at(origins, text)), width, 4), emit.product(unit, 4))
            for gate in range(4):
                emit.store(emit.load(emit.at(row, gate * num_lanes)), gates[text][gate])

        weights = emit.at(recurrent, emit.product(unit, 4, num_hidden))
        before = []
        for text in range(num_texts):
            step = builder.load(emit.at(steps, text))
            before.append(emit.at(states, emit.product(text, stride), emit.product(step, width)))
        with cgutils.for_range(builder, num_hidden) as loop:
            from_unit = emit.at(weights, emit.product(loop.index, 4 * num_lanes))
            weight = [emit.load(emit.at(from_unit, gate * num_lanes)) for gate in range(4)]
            for text in range(num_texts):
                output = emit.fill(emit.at(before[text], loop.index))
                for gate in range(4):
                    emit.store(weight[gate] * output + emit.load(gates[text][gate]), gates[text][gate])

        # A second loop over texts: all gates and the constants of tanh do not fit into the registers together.
        written = cgutils.alloca_once(builder, emit.vector, size=INT64(4 * num_texts))
        for text in range(num_texts):
            for gate in range(4):
                emit.store(emit.load(gates[text][gate]), emit.at(written, 4 * text + gate))
        with cgutils.for_range(builder, INT64(num_texts)) as loop:
            of_text = emit.at(written, emit.product(loop.index, 4))
            cell = emit.at(cells, emit.product(loop.index, width), unit)
            new_cell, output = _lstm_cell([emit.load(emit.at(of_text, gate)) for gate in range(4)], emit.load(cell))
            emit.store(new_cell, cell)
            after = builder.add(builder.load(emit.at(steps, loop.index)), INT64(1))
            emit.store(output, emit.at(states, emit.product(loop.index, stride), emit.product(after, width), unit))
        return context.get_dummy_value()

    return types.void(lanes, texts, rows, origins, recurrent, types.int64, states, steps, cells, types.int64), generate


@intrinsic(prefer_literal=True)
def _pool_tile(typing_context, lanes, states, weights, pooled, unit):
    """Set pooled [4, P] from `unit` on: sum, maximum, last and weighted sum of states [T, P] of weights [T]."""

    def generate(context, builder: ir.IRBuilder, signature, arguments):
        emit = Emitter(builder, lanes.literal_value)
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (1, 2, 3)]
        states, weights, pooled = (array.data for array in arrays)
        length, width = (builder.extract_value(arrays[0].shape, i) for i in range(2))
        unit = arguments[4]
        total, highest, last, attended = pools = emit.variables(4)
        for pool in (total, attended):
            emit.store(Vector(builder, emit.vector(None)), pool)
        emit.store(emit.load(emit.at(states, unit)), highest)
        with cgutils.for_range(builder, length) as loop:
            state = emit.load(emit.at(states, emit.product(loop.index, width), unit))
            emit.store(emit.load(total) + state, total)
            emit.store(emit.load(highest).choose(">", state), highest)
            emit.store(state, last)
            emit.store(state * emit.fill(emit.at(weights, loop.index)) + emit.load(attended), attended)
        for row, pool in enumerate(pools):
            emit.store(emit.load(pool), emit.at(pooled, emit.product(row, width), unit))
        return context.get_dummy_value()

    return types.void(lanes, states, weights, pooled, types.int64), generate


@intrinsic
def _prefetch(typing_context, rows, row):
    """Prefetch a row of rows [R, 4P] for the next step: most are not in the second-level cache."""

    def generate(context, builder: ir.IRBuilder, signature, arguments):
        emit = Emitter(builder, 1)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        width = builder.extract_value(array.shape, 1)
        kind = ir.FunctionType(ir.VoidType(), [_INT8.as_pointer(), INT32, INT32, INT32])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = emit.at(array.data, emit.product(arguments[1], width))
        with cgutils.for_range_slice(builder, INT64(0), width, INT64(_CACHE_LINE), inc=True) as (column, _):
            line = builder.bitcast(emit.at(start, column), _INT8.as_pointer())
            builder.call(prefetch, [line, INT32(0), INT32(3), INT32(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(rows, types.int64), generate


@_compiled
def _advance(texts, layer, rows, row_ids, places, states, steps, cells, count):
    """Take `count` steps with each of `texts` texts; the next one of a text reads row row_ids[places[text]]."""
    numba.literally(texts)
    width = cells.shape[1]
    origins = np.empty(texts, np.int64)
    for _ in range(count):
        for text in range(texts):
            origins[text] = row_ids[places[text]]
            places[text] += 1
            _prefetch(rows, row_ids[min(places[text], len(row_ids) - 1)])
        for unit in range(0, width - LANES + 1, LANES):
            _step_tile(LANES, texts, rows, origins, layer.recurrent, layer.num_hidden, states, steps, cells, unit)
        if width % LANES:
            unit = width - LAST_LANES
            _step_tile(LAST_LANES, texts, rows, origins, layer.recurrent, layer.num_hidden, states, steps, cells, unit)
        for text in range(texts):
            steps[text] += 1


@_compiled
def run_layer(layer, rows, row_ids, starts, lengths, order, all_states):
    """Return pooled states, [N, 4, P] in the order of POOLS; those of attention are undefined without attention.

    Step t of text i reads row row_ids[starts[i] + t] of `rows` [R, 4P], and its states go to all_states[starts[i] + t]
    unless that, [tokens, P], is empty. TEXTS texts run together, and when one ends the next takes its place; `order`
    lists texts longest first, because the last ones run alone.
    """
    width = rows.shape[1] // 4
    pooled = np.empty((len(order), 4, width), np.float32)
    states = np.zeros((TEXTS, 1 + lengths[order[0]], width), np.float32)
    cells = np.zeros((TEXTS, width), np.float32)
    num_slots = min(TEXTS, len(order))
    slots = order[:num_slots].copy()  # the text in each
    places, steps = np.zeros_like(slots), np.zeros_like(slots)
    for slot in range(num_slots):
        places[slot] = starts[slots[slot]]
    for waiting in order[num_slots:]:
        slot, left = _first_to_end(slots, lengths, steps)
        _advance(TEXTS, layer, rows, row_ids, places, states, steps, cells, left)
        _finish(slots[slot], layer, states[slot], starts, lengths, pooled, all_states)
        slots[slot], places[slot], steps[slot] = waiting, starts[waiting], 0
        for unit in range(width):
            cells[slot, unit] = 0
    if num_slots == TEXTS:
        _, left = _first_to_end(slots, lengths, steps)
        _advance(TEXTS, layer, rows, row_ids, places, states, steps, cells, left)
    for slot in range(num_slots):
        text = slots[slot]
        one = slice(slot, slot + 1)
        rest = lengths[text] - steps[slot]
        _advance(1, layer, rows, row_ids, places[one], states[one], steps[one], cells[one], rest)
        _finish(text, layer, states[slot], starts, lengths, pooled, all_states)
    return pooled


@_compiled
def _first_to_end(slots, lengths, steps):
    """Return the slot whose text ends first, and the number of steps until then."""
    first, least = 0, lengths[slots[0]] - steps[0]
    for slot in range(1, len(slots)):
        left = lengths[slots[slot]] - steps[slot]
        if left < least:
            first, least = slot, left
    return first, least


@_compiled
def _finish(text, layer, states, starts, lengths, pooled, all_states):
    """Pool the states, [1 + T, P], of a text that has ended.

    It has loops instead of numpy's functions and operators, which numba takes seconds to compile.
    """
    length, width = lengths[text], states.shape[1]
    states = states[1 : 1 + length]
    weights, sum_of_weights = np.zeros(length, np.float32), np.float32(0)
    if len(layer.attention):
        highest = np.float32(-np.inf)
        for t in range(length):
            weights[t] = _dot(layer.attention, states[t])
            highest = max(highest, weights[t])
        for t in range(length):
            weights[t] = math.exp(weights[t] - highest)
            sum_of_weights += weights[t]
    for unit in range(0, width - LANES + 1, LANES):
        _pool_tile(LANES, states, weights, pooled[text], unit)
    if width % LANES:
        _pool_tile(LAST_LANES, states, weights, pooled[text], width - LAST_LANES)
    for unit in range(width):
        pooled[text, 0, unit] /= length
        pooled[text, 3, unit] /= sum_of_weights
    if len(all_states):
        for t in range(length):
            for unit in range(width):
                all_states[starts[text] + t, unit] = states[t, unit]


# Sums may be taken in any order, which lets them run in parallel.
@compiled(error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _dot(a, b):
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total
