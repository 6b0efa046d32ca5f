// The schemas of all operations. Kernels register themselves beside their code; shapes for tracing and gradients are
// in stylerig_fast/ops/_autograd.py. Everything is on torch's ABI-stable interface.
#include <torch/csrc/stable/library.h>

// B pictures of H x W pixels, V vertices, T triangles, A, E, C coefficients, L landmarks. `v_x` is the gradient of x.
STABLE_TORCH_LIBRARY(stylerig, m) {
  // vertices [B,V,3], triangles [T,3] -> triangle [B,H,W], depth [B,H,W]
  m.def(
      "rasterize(Tensor vertices, Tensor triangles, float focal, int height, int width, float near) -> "
      "(Tensor triangle, Tensor depth)");

  // vertices [B,V,3], triangles [T,3], offsets [V+1], corners [3T] -> normals [B,V,3], inverse lengths [B,V]
  m.def(
      "vertex_normals_fwd(Tensor vertices, Tensor triangles, Tensor offsets, Tensor corners) -> "
      "(Tensor normals, Tensor inverses)");
  m.def(
      "vertex_normals_bwd(Tensor v_normals, Tensor vertices, Tensor triangles, Tensor offsets, Tensor corners, "
      "Tensor normals, Tensor inverses) -> Tensor v_vertices");

  // vertices, albedo, normals [B,V,3], illumination [B,9,3], triangles [T,3], triangle_ids [B,H,W], target [B,3,H,W]
  // -> loss [B], image [B,3,H,W] or [0,3,H,W], and the gradients of sum(loss), or tensors of batch 0
  m.def(
      "masked_photometric_fwd(Tensor vertices, Tensor albedo, Tensor normals, Tensor illumination, Tensor triangles, "
      "Tensor triangle_ids, Tensor target, Tensor offsets, Tensor corners, float focal, bool with_image, "
      "bool with_grad) -> (Tensor loss, Tensor image, Tensor v_vertices, Tensor v_albedo, Tensor v_normals, "
      "Tensor v_illumination)");
  m.def(
      "masked_photometric_bwd(Tensor v_loss, Tensor v_vertices, Tensor v_albedo, Tensor v_normals, "
      "Tensor v_illumination) -> (Tensor v_vertices, Tensor v_albedo, Tensor v_normals, Tensor v_illumination)");
}
