"""Values whose Numba type holds all of them: kernels are compiled for the value, with no branch.

A cell or an activation is a frozen dataclass derived from ``Static``. Its fields are read at
compile time: another ``Static`` or a number. (A NamedTuple would do, but ``prange`` takes tuples
apart and forgets their class.)
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache, cached_property
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import (
    NativeValue,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from fastlstm.kernels.jit import inline


class Static:
    """Base class; subclasses are frozen dataclasses."""

    @cached_property
    def _numba_type_(self):
        # Numba looks here first, which saves microseconds a call.
        return StaticType(self)

    def __reduce__(self):
        # Without the type, which holds this very value.
        return type(self), tuple(getattr(self, field.name) for field in fields(cast(Any, self)))


class StaticType(types.Type):
    """The type of one ``Static`` value."""

    def __init__(self, value: Static) -> None:
        self.value = value
        super().__init__(name=f"Static({type(value).__module__}.{value!r})")


@register_model(StaticType)
class _StaticModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.IntType(8))


@typeof_impl.register(Static)
def _typeof(value, context):
    return value._numba_type_


@unbox(StaticType)
def _unbox(static, value, context):
    return NativeValue(ir.Constant(ir.IntType(8), 0))


@lower_constant(StaticType)
def _constant(context, builder, static, value):
    return ir.Constant(ir.IntType(8), 0)


@infer_getattr
class _Fields(AttributeTemplate):
    key = StaticType

    def generic_resolve(self, static, name):
        field = getattr(static.value, name, None)
        if isinstance(field, float):
            return types.float64
        return field._numba_type_ if isinstance(field, Static) else None


@lower_getattr_generic(StaticType)
def _lower_field(context, builder, static, value, name):
    field = getattr(static.value, name)
    if isinstance(field, float):
        return context.get_constant(types.float64, field)
    return ir.Constant(ir.IntType(8), 0)


@cache
def method(static: StaticType, name: str):
    """A method of the value, compiled to disappear into its caller."""
    return inline(getattr(type(static.value), name))
