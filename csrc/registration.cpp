// The schemas of all operations. Kernels register themselves beside their code; shapes for tracing and gradients are
// in stylerig_fast/ops/_autograd.py. Everything is on torch's ABI-stable interface.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(stylerig, m) {
  // vertices [B, V, 3], triangles [T, 3] -> triangle [B, H, W], depth [B, H, W]
  m.def(
      "rasterize(Tensor vertices, Tensor triangles, float focal, int height, int width, float near) -> "
      "(Tensor triangle, Tensor depth)");
}
