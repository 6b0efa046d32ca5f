"""RigNet and the reconstructor as graphs, in float32 whatever the generator computes in: they take next to no time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylerig_fast.errors import ExportError
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import SQUARE_LIMIT, BilinearRigNet, LinearRigNet, RigNet, SubspaceRigNet

from .graph import GraphBuilder, Value
from .layers import gemm


def rig(graph: GraphBuilder, net: RigNet, w: Value, params: Value, source: Value) -> Value:
    """The edited codes ``(B, num_ws, w_dim)``, see `RigNet`.

    Raises:
        ExportError: the rig is of a form that has no graph.
    """
    change = graph.op("Sub", params, source)
    if isinstance(net, SubspaceRigNet):
        net = net.compact()
    if isinstance(net, BilinearRigNet):
        return graph.op("Add", w, _bilinear(graph, net, w, source, change))
    if isinstance(net, LinearRigNet):
        return graph.op("Add", w, _linear(graph, net, w, params, change))
    raise ExportError(f"rigs of the form {net.config.form!r} cannot be exported, only linear, subspace and bilinear")


def _bilinear(graph: GraphBuilder, net: BilinearRigNet, w: Value, source: Value, change: Value) -> Value:
    """The offset d of `BilinearRigNet`."""
    with graph.scope("delta"):
        columns, scale = graph.integers(*net.columns.tolist()), graph.constant("scale", 1 / net.p_std.double())
        q = graph.op("Mul", graph.op("Gather", change, columns, axis=1), graph.constant("gain", net.gain))
        q = graph.op("Mul", q, scale)
        if net.turns:
            turns = graph.integers(*net.turns)
            before = graph.op("Mul", graph.op("Gather", source, columns, axis=1), scale)
            before = graph.op("Gather", before, turns, axis=1)
            after = graph.op("Add", before, graph.op("Gather", q, turns, axis=1))
            squares = graph.op("Sub", graph.op("Mul", after, after), graph.op("Mul", before, before))
            most = (
                graph.constant(name, torch.tensor(sign * SQUARE_LIMIT)) for name, sign in (("low", -1), ("high", 1))
            )
            q = graph.op("Concat", q, graph.op("Clip", squares, *most), axis=1)
    with graph.scope("person"):
        with graph.scope("code"):
            code = gemm(graph, _flat(graph, _centred(graph, w, net.w_mean)), net.code_factor.T)
        with graph.scope("source"):
            source = graph.op("Sub", source, graph.constant("mean", net.source_mean))
            person = graph.op("Add", code, gemm(graph, source, net.source_factor.T))
    with graph.scope("product"):
        product = graph.op("Mul", gemm(graph, q, net.delta_factor.T), person)
    with graph.scope("offset"):
        return _unflat(graph, gemm(graph, graph.op("Concat", q, product, axis=1), net.change.T), net)


def _linear(graph: GraphBuilder, net: LinearRigNet, w: Value, params: Value, change: Value) -> Value:
    """The offset d of `LinearRigNet`: matrix products of all slots at a time, slots first."""
    with graph.scope("target"):
        more = torch.zeros_like(net.p_mean)
        more[net.columns] = net.gain - 1
        target = graph.op("Add", params, graph.op("Mul", change, graph.constant("gain", more)))
        target = graph.op("Sub", target, graph.constant("mean", net.p_mean))
        target = graph.op("Div", target, graph.constant("std", net.p_std))
        decoder = net.decoder[:, net.config.encoder :]
        target = graph.op("MatMul", target, graph.constant("weight", decoder))
    with graph.scope("code"):
        x = graph.op("Div", _centred(graph, w, net.w_mean), graph.constant("std", net.w_std))
        x = graph.op("Transpose", x, perm=[1, 0, 2])
        x = graph.op("MatMul", x, graph.constant("encoder", net.encoder))
        x = graph.op("MatMul", x, graph.constant("decoder", net.decoder[:, : net.config.encoder]))
    with graph.scope("offset"):
        d = graph.op("Transpose", graph.op("Add", x, target), perm=[1, 0, 2])
        d = graph.op("Add", d, graph.constant("bias", net.bias))
        return graph.op("Mul", d, graph.constant("std", net.w_std))


def reconstructor(graph: GraphBuilder, net: FaceReconstructor, w: Value) -> Value:
    """`FaceParams.vector` ``(B, P)`` of what F sees in the codes."""
    layers: list[Any] = list(net.layers)
    first, _, second, _, third = layers
    with graph.scope("first"):
        x = _flat(graph, _centred(graph, w, net.w_mean))
        x = graph.op("Elu", gemm(graph, x, first.weight / net.w_std.flatten(), first.bias))
    with graph.scope("second"):
        x = graph.op("Elu", gemm(graph, x, second.weight, second.bias))
    with graph.scope("third"):
        weight, bias = third.weight * net.out_scale[:, None], third.bias * net.out_scale + net.out_mean
        return gemm(graph, x, weight, bias)


def _centred(graph: GraphBuilder, w: Value, mean: Tensor) -> Value:
    return graph.op("Sub", w, graph.constant("mean", mean))


def _flat(graph: GraphBuilder, w: Value) -> Value:
    return graph.op("Flatten", w, axis=1)


def _unflat(graph: GraphBuilder, x: Value, net: RigNet) -> Value:
    return graph.op("Reshape", x, graph.integers(-1, net.config.num_ws, net.config.w_dim))
