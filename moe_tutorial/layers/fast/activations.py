"""Activations and their derivatives, written so that the compiler can vectorise a loop over them.

Each activation needs a loop of its own: a loop with a branch is not vectorised.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import kernel

ACTIVATIONS = ("relu", "gelu", "silu")  # kernels take the index in this tuple


@intrinsic
def float_of(context, bits):
    """The float32 that these 32 bits stand for."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@kernel(inline="always")
def exp(x):
    """exp(x) in float32, to two units in the last place: a power of two times a polynomial.

    Unlike the library's exp, it can be vectorised. Above 87 it is exp(87), so that it stays finite. Below -87 it is 0:
    the results would be subnormal numbers, which take a CPU a hundred times as long.
    """
    low = x < np.float32(-87)
    x = min(max(x, np.float32(-87)), np.float32(87))
    whole = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    rest = x - whole * np.float32(0.693359375) - whole * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * rest + np.float32(1.3981999507e-3)
    y = y * rest + np.float32(8.3334519073e-3)
    y = y * rest + np.float32(4.1665795894e-2)
    y = y * rest + np.float32(1.6666665459e-1)
    y = y * rest + np.float32(5.0000001201e-1)
    y = y * rest * rest + rest + np.float32(1)
    y *= float_of((np.int32(whole) + np.int32(127)) << np.int32(23))
    return np.float32(0) if low else y


@kernel(inline="always")
def sigmoid(x):
    return np.float32(1) / (np.float32(1) + exp(-x))


@kernel(inline="always")
def normal(x):
    """The cumulative distribution function of a standard normal distribution at x, to 1e-7.

    Unlike the library's erf, it can be vectorised. Source: Abramowitz and Stegun, Handbook of Mathematical Functions,
    7.1.26.
    """
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911 * math.sqrt(0.5)) * abs(x))
    tail = np.float32(1.061405429)
    tail = tail * t - np.float32(1.453152027)
    tail = tail * t + np.float32(1.421413741)
    tail = tail * t - np.float32(0.284496736)
    tail = tail * t + np.float32(0.254829592)
    tail = np.float32(0.5) * tail * t * exp(np.float32(-0.5) * x * x)
    return np.float32(1) - tail if x > 0 else tail


@kernel(inline="always")
def relu(value):
    return np.float32(0) if value <= 0 else value  # NaN stays NaN, as in torch


@kernel(inline="always")
def relu_slope(value):
    return np.float32(1) if value > 0 else np.float32(0)


@kernel(inline="always")
def gelu(value):
    return value * normal(value)


@kernel(inline="always")
def gelu_slope(value):
    return normal(value) + value * np.float32(math.sqrt(0.5 / math.pi)) * exp(np.float32(-0.5) * value * value)


@kernel(inline="always")
def silu(value):
    return value * sigmoid(value)


@kernel(inline="always")
def silu_slope(value):
    share = sigmoid(value)
    return share * (np.float32(1) + value * (np.float32(1) - share))


@kernel(inline="always")
def activate_one(kind, value):
    return relu(value) if kind == 0 else gelu(value) if kind == 1 else silu(value)


@kernel(inline="always")
def each(activation, gated, values, gates, neurons):
    for i in range(len(values)):
        neurons[i] = activation(gates[i]) * values[i] if gated else activation(values[i])


@kernel()
def activate(kind, gated, values, gates, neurons):
    """Write the activated ``neurons``, which must not overlap ``values`` or ``gates``."""
    if kind == 0:
        each(relu, gated, values, gates, neurons)
    elif kind == 1:
        each(gelu, gated, values, gates, neurons)
    else:
        each(silu, gated, values, gates, neurons)


@kernel(inline="always")
def each_backward(activation, slope, gated, values, gates, grad_neurons, neurons, grad_values, grad_gates):
    for i in range(len(values)):
        value, grad = values[i], grad_neurons[i]
        if gated:
            active = activation(gates[i])
            neurons[i], grad_values[i] = active * value, active * grad
            grad_gates[i] = value * grad * slope(gates[i])
        else:
            neurons[i], grad_values[i] = activation(value), grad * slope(value)


@kernel()
def activate_backward(kind, gated, values, gates, grad_neurons, neurons, grad_values, grad_gates):
    """Compute the neurons again, and the gradients of values and gates."""
    if kind == 0:
        each_backward(relu, relu_slope, gated, values, gates, grad_neurons, neurons, grad_values, grad_gates)
    elif kind == 1:
        each_backward(gelu, gelu_slope, gated, values, gates, grad_neurons, neurons, grad_values, grad_gates)
    else:
        each_backward(silu, silu_slope, gated, values, gates, grad_neurons, neurons, grad_values, grad_gates)
