"""The operations that training and rendering spend their time in: compiled kernels and their plain-torch twins.

Every op takes ``impl`` (`mobile_synthesis` where its weights are packed): ``"auto"`` (the fastest path that is there
for the tensors' device, with one visible notice if that is the slow one), ``"reference"`` (plain torch, the
specification, in ``ops/reference/<op>.py``), ``"cpu"`` or ``"cuda"`` (that compiled kernel or an error). Floating-point
tensors are float32 or float64 and agree in dtype and device; triangles are int32. Shape and dtype mistakes raise
``ValueError``.

::

    Morphed = NamedTuple(vertices (B,V,3), albedo (B,V,3), landmarks (B,L,2), screen (B,V,2) or None)
    morphable(mean (V,3), identity_basis (A,V,3), expression_basis (E,V,3), albedo_mean (V,3), albedo_basis (C,V,3),
              landmark_vertices (L,) int64, identity (B,A), albedo (B,C), expression (B,E), rotation (B,3),
              translation (B,3), focal, *, with_screen=False, impl="auto") -> Morphed
        vertices = R(rotation) (mean + identity_basis . identity + expression_basis . expression) + translation, in
        camera space; albedo = albedo_mean + albedo_basis . albedo; landmarks and screen are projected positions in
        image widths. Bases may be bfloat16. Gradients reach the coefficients and the pose; the model is constant.

    vertex_normals(vertices (B,V,3), triangles (T,3), *, adjacency=None, impl="auto") -> (B,V,3)
        area-weighted unit normals, counter-clockwise triangles face the viewer; the zero vector where no triangle
        with an area meets.

    rasterize(vertices (B,V,3), triangles (T,3), focal, height, width, *, near=0.01, impl="auto")
        -> Visibility = NamedTuple(triangle (B,H,W) int32, -1 = none; depth (B,H,W), -z at the pixel centre, 0 = none)
        impl may also be "pytorch3d". No gradient: visibility is constant.

    barycentrics(vertices (B,V,3), triangles (T,3), triangle_ids (B,H,W), focal) -> (B,H,W,3)
        perspective-correct, differentiable in vertices, 0 where triangle_ids is -1. Plain torch only.

    masked_photometric(vertices (B,V,3), albedo (B,V,3), normals (B,V,3), illumination (B,9,3), triangles (T,3),
                       triangle_ids (B,H,W), focal, target (B,3,H,W), *, with_image=False, adjacency=None,
                       impl="auto")
        -> Photometric = NamedTuple(loss (B,), image (B,3,H,W) or None)
        loss: mean over covered pixels of the mean over RGB of the squared difference; 0 where nothing is covered.
        image: the rendered picture, 0 outside the mask, not clamped, without gradient. Gradients reach vertices,
        albedo, normals and illumination, inside the triangles: silhouettes are not differentiated, landmarks do that.

    pack_mobile_weights(weights MobileWeights, dtype=float32, *, threads=None, kernels="auto", impl="auto")
        -> PackedMobileWeights(dtype, num_ws, w_dim, resolution, kernels, ...)
        MobileStyleGAN's synthesis network, packed once for this CPU; dtype may be bfloat16 where it has dot products.
    mobile_synthesis(ws (num_ws,w_dim), packed, picture (R,R,3))
        that network as a whole, for one code: picture is float32 or uint8. CPU only. No gradient.

    styled_epilogue(x (B,C,H,W), demodulation (B,C), bias (C,), *, noise=None, style=None, clamp=None, out=None,
                    rgb=None, image=None, impl="auto")
        what stands between two convolutions of StyleGAN2, in one pass: out = clamp(lrelu(x * demodulation + noise +
        bias)) * style, and from the same activations the picture, ToRgb(weight (B,3,C), bias (3,), skip (B,H/2,W/2,3)
        or None, taps (4,)) -> image (B,H,W,3) float32 or uint8. x may be float32, bfloat16 or float16. No gradient.

    upsample_filter(x (B,C,H+1,W+1), taps (4,), demodulation (B,C), bias (C,), *, noise=None, style=None, clamp=None,
                    out=None, impl="auto") -> (B,C,H,W)
        the filter behind a transposed convolution of stride 2, and the same end. No gradient.

    depthwise_layer(x (B,H,W,C), bias (C,), weight (3,3,C), style (B,C), *, noise=None, bands=None, dtype=None,
                    impl="auto") -> (B,H,W,C)
        what stands between two 1x1 convolutions of MobileStyleGAN, in one pass: depthwise 3x3(lrelu(x + noise + bias))
        * style; with bands (B,4C), of x (B,H,W,4C) and bias (4C,), the inverse Haar transform of the activations times
        bands in front of the filter -> (B,2H,2W,C). x may be float32, bfloat16 or float16. CUDA only. No gradient.

    picture_layer(x (B,H,W,C), bias (C,), style (B,C), weight (12 or 3,C), final_bias (12 or 3,), picture, *,
                  noise=None, impl="auto")
        what stands behind the last of them: weight (lrelu(x + noise + bias) * style) + final_bias as the picture
        (B,2H,2W,3), or (B,H,W,3), float32 or uint8. CUDA only. No gradient.

    adjacency(triangles (T,3), num_vertices) -> Adjacency = NamedTuple(offsets (V+1,) int32, corners (3T,) int32)
        which triangle corners meet at a vertex; compute it once per mesh and hand it to the ops that take it.

    rotation_matrix(rotation (B,3) axis-angle in radians) -> (B,3,3)
"""

from __future__ import annotations

from stylerig_fast.face.rotation import axis_angle_to_matrix as rotation_matrix
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl, library_summary, paths
from stylerig_fast.ops.adjacency import Adjacency, adjacency
from stylerig_fast.ops.depthwise_layer import depthwise_layer
from stylerig_fast.ops.masked_photometric import Photometric, masked_photometric
from stylerig_fast.ops.mobile_synthesis import PackedMobileWeights, mobile_synthesis, pack_mobile_weights
from stylerig_fast.ops.morphable import Morphed, morphable
from stylerig_fast.ops.picture_layer import picture_layer
from stylerig_fast.ops.rasterize import Visibility, rasterize
from stylerig_fast.ops.reference.barycentrics import barycentrics
from stylerig_fast.ops.reference.mobile_synthesis import MobileWeights
from stylerig_fast.ops.reference.styled_epilogue import ToRgb
from stylerig_fast.ops.styled_epilogue import styled_epilogue
from stylerig_fast.ops.upsample_filter import upsample_filter
from stylerig_fast.ops.vertex_normals import vertex_normals

_library.load()

__all__ = [
    "Adjacency",
    "Impl",
    "MobileWeights",
    "Morphed",
    "PackedMobileWeights",
    "Photometric",
    "ToRgb",
    "Visibility",
    "adjacency",
    "barycentrics",
    "depthwise_layer",
    "library_summary",
    "masked_photometric",
    "mobile_synthesis",
    "morphable",
    "pack_mobile_weights",
    "paths",
    "picture_layer",
    "rasterize",
    "rotation_matrix",
    "styled_epilogue",
    "upsample_filter",
    "vertex_normals",
]
