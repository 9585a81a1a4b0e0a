"""Emits LLVM's vector instructions, in which `kernel.py` writes its inner loops."""

# mypy: disable-error-code="no-untyped-call, misc"
# (llvmlite and numba come without types)

import functools
from typing import NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]  # it comes without types
from numba.core import cgutils

FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class Vector(NamedTuple):
    """A vector of floats while its instructions are being written; a constant operand fills all lanes."""

    builder: ir.IRBuilder
    value: ir.Value

    def __add__(self, other: "Vector | float") -> "Vector":  # type: ignore[override]
        return Vector(self.builder, self.builder.fadd(self.value, self._operand(other), flags=("contract",)))

    def __mul__(self, other: "Vector | float") -> "Vector":  # type: ignore[override]
        return Vector(self.builder, self.builder.fmul(self.value, self._operand(other), flags=("contract",)))

    def __truediv__(self, other: "Vector") -> "Vector":
        return Vector(self.builder, self.builder.fdiv(self.value, other.value))

    def choose(self, comparison: str, other: "Vector | float") -> "Vector":
        """Return this vector where it compares so with `other`, and `other` elsewhere."""
        kept = self.builder.fcmp_ordered(comparison, self.value, self._operand(other))
        return Vector(self.builder, self.builder.select(kept, self.value, self._operand(other)))

    def _operand(self, other: "Vector | float") -> ir.Value:
        return other.value if isinstance(other, Vector) else self.value.type([other] * self.value.type.count)


class Emitter:
    """Writes loads and stores of vectors of `num_lanes` floats; pointers are to float32, counts are int64."""

    def __init__(self, builder: ir.IRBuilder, num_lanes: int) -> None:
        self.builder = builder
        self.vector = ir.VectorType(FLOAT, num_lanes)

    def product(self, *factors: ir.Value | int) -> ir.Value:
        """Return the product of counts."""
        return functools.reduce(self.builder.mul, [INT64(f) if isinstance(f, int) else f for f in factors])

    def at(self, pointer: ir.Value, *offsets: ir.Value | int) -> ir.Value:
        """Return the address at this offset, in floats."""
        return functools.reduce(lambda place, offset: self.builder.gep(place, [self.product(offset)]), offsets, pointer)

    def load(self, pointer: ir.Value) -> Vector:
        """Load a vector from any address."""
        pointer = self.builder.bitcast(pointer, self.vector.as_pointer())
        return Vector(self.builder, self.builder.load(pointer, align=4))

    def store(self, vector: Vector, pointer: ir.Value) -> None:
        """Store a vector."""
        self.builder.store(vector.value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=4)

    def fill(self, pointer: ir.Value) -> Vector:
        """Load one float into all lanes."""
        undefined, zeros = self.vector(ir.Undefined), ir.VectorType(INT32, self.vector.count)(None)
        first = self.builder.insert_element(undefined, self.builder.load(pointer), INT32(0))
        return Vector(self.builder, self.builder.shuffle_vector(first, undefined, zeros))

    def variables(self, count: int) -> list[ir.Value]:
        """Allocate variables for vectors; LLVM keeps them in registers because their addresses are constant."""
        return [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
