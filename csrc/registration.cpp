// The schemas of all operations. Kernels register themselves beside their code; shapes for tracing and gradients are
// in stylerig_fast/ops/<op>.py. Everything is on torch's ABI-stable interface.
#include <torch/csrc/stable/library.h>

#ifndef STYLERIG_NAMESPACE  // tests register emulated CUDA kernels beside these
#define STYLERIG_NAMESPACE stylerig
#endif

// B pictures of H x W pixels, V vertices, T triangles, A, E, C coefficients, L landmarks. `v_x` is the gradient of x.
STABLE_TORCH_LIBRARY(STYLERIG_NAMESPACE, m) {
  // mean, albedo_mean [V,3]; bases [A,V,3], [E,V,3], [C,V,3]; landmark_vertices [L]; identity [B,A], albedo [B,C],
  // expression [B,E], rotation, translation [B,3] -> vertices, albedo [B,V,3], landmarks [B,L,2], screen [B,V,2] or
  // [0,V,2]
  m.def(
      "morphable_fwd(Tensor mean, Tensor identity_basis, Tensor expression_basis, Tensor albedo_mean, "
      "Tensor albedo_basis, Tensor landmark_vertices, Tensor identity, Tensor albedo, Tensor expression, "
      "Tensor rotation, Tensor translation, float focal, bool with_screen) -> "
      "(Tensor vertices, Tensor albedo, Tensor landmarks, Tensor screen)");
  m.def(
      "morphable_bwd(Tensor? v_vertices, Tensor? v_albedo, Tensor? v_landmarks, Tensor? v_screen, Tensor vertices, "
      "Tensor identity_basis, Tensor expression_basis, Tensor albedo_basis, Tensor landmark_vertices, "
      "Tensor rotation, Tensor translation, float focal) -> "
      "(Tensor v_identity, Tensor v_albedo, Tensor v_expression, Tensor v_rotation, Tensor v_translation)");

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
  // Scales saved gradients. It does not read the four inputs: they are there so that autograd sees what the gradients
  // depend on, and differentiating them again raises instead of leaving terms out.
  m.def(
      "masked_photometric_bwd(Tensor v_loss, Tensor v_vertices, Tensor v_albedo, Tensor v_normals, "
      "Tensor v_illumination, Tensor vertices, Tensor albedo, Tensor normals, Tensor illumination) -> (Tensor "
      "v_vertices, Tensor v_albedo, Tensor v_normals, Tensor v_illumination)");

  // Inference of a whole network, batch 1 (csrc/mobile_synthesis). ws [num_ws, w_dim]; picture [R, R, 3], uint8 or
  // float32
  m.def("mobile_synthesis_pack(Tensor[] tensors, int[] channels, int w_dim, int variant) -> Tensor packed");
  m.def("mobile_synthesis_workspace(Tensor packed, int threads) -> Tensor workspace");
  m.def("mobile_synthesis(Tensor ws, Tensor packed, Tensor(a!) workspace, Tensor(b!) picture) -> ()");
  m.def("mobile_synthesis_variants() -> int");

  // Between two convolutions of StyleGAN2. x [B, H, W, C], demodulation, style [B, C], noise [H, W], bias [C]; out as
  // x, which it may be. With the picture's weights [B, 3, C], bias [3] and the picture below [B, H/2, W/2, 3]: image
  // [B, H, W, 3], uint8 or float32
  m.def(
      "styled_epilogue(Tensor x, Tensor demodulation, Tensor? noise, Tensor bias, Tensor? style, Tensor? rgb_weight, "
      "Tensor? rgb_bias, Tensor? skip, Tensor taps, float clamp, Tensor(a!)? out, Tensor(b!)? image) -> ()");
  // The same behind a transposed convolution, and its filter: x [B, H + 1, W + 1, C], taps [4] -> out [B, H, W, C]
  m.def(
      "upsample_filter(Tensor x, Tensor taps, Tensor demodulation, Tensor? noise, Tensor bias, Tensor? style, float "
      "clamp, Tensor(a!) out) -> ()");

  // Between two 1x1 convolutions of MobileStyleGAN. x [B, H, W, C], noise [H, W], bias [C], weight [3, 3, C], style
  // [B, C] -> out [B, H, W, C]; with the scales of bands [B, 4C]: x [B, H, W, 4C], bias [4C] -> out [B, 2H, 2W, C]
  m.def(
      "depthwise_layer(Tensor x, Tensor? noise, Tensor bias, Tensor? bands, Tensor weight, Tensor style, Tensor(a!) "
      "out) -> ()");
  // Behind the last of them: weight [12, C] or [3, C], final_bias [12] or [3] -> picture [B, 2H, 2W, 3] or [B, H, W,
  // 3], uint8 or float32
  m.def(
      "picture_layer(Tensor x, Tensor? noise, Tensor bias, Tensor style, Tensor weight, Tensor final_bias, Tensor(a!) "
      "picture) -> ()");
}
