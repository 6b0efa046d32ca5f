// masked_photometric on CUDA, in three kernels without atomics, so that every run gives the same:
// 1. one thread per pixel shades it; blocks sum loss, covered pixels and the light's gradient;
// 2. one warp per picture adds the blocks up in order;
// 3. one thread per vertex gathers its gradient from the covered pixels of its triangles, shading them again: cheaper
//    than storing anything per pixel. A vertex with many pixels to look at is shared by its warp.
#include <tuple>

#include "common/cuda.h"
#include "masked_photometric/masked_photometric_kernels.cuh"

namespace stylerig {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> forward(const Tensor& vertices, const Tensor& albedo,
                                                                   const Tensor& normals, const Tensor& illumination,
                                                                   const Tensor& triangles, const Tensor& triangle_ids,
                                                                   const Tensor& target, const Tensor& offsets,
                                                                   const Tensor& corners, double focal, bool with_image,
                                                                   bool with_grad) {
  const char* op = "masked_photometric";
  const int64_t batch = vertices.size(0), count = vertices.size(1), height = triangle_ids.size(1),
                width = triangle_ids.size(2);
  for (const Tensor* tensor : {&vertices, &albedo, &normals}) {
    check(op, "vertices, albedo or normals", *tensor, {batch, count, 3});
  }
  check(op, "illumination", illumination, {batch, 9, 3});
  check(op, "triangle_ids", triangle_ids, {batch, height, width});
  check(op, "target", target, {batch, 3, height, width});
  const OnDevice on(vertices);
  const int64_t kept = with_grad ? batch : 0;
  const int64_t blocks = larger<int64_t>(1, (height * width + kPixels - 1) / kPixels);
  Tensor loss = empty({batch}, vertices), scale = empty({batch}, vertices);
  Tensor partial = empty({batch, blocks, kSums}, vertices);
  Tensor image = empty({with_image ? batch : 0, 3, height, width}, vertices);
  Tensor v_vertices = empty({kept, count, 3}, vertices), v_albedo = empty({kept, count, 3}, vertices),
         v_normals = empty({kept, count, 3}, vertices), v_illumination = empty({kept, 9, 3}, vertices);
  const DeviceAdjacency mesh = device_adjacency(op, triangles, offsets, corners, count);
  if (batch > 0) {
    dispatch_float(op, vertices, [&](auto type) {
      using T = decltype(type);
      const Scene<T> scene = {vertices.const_data_ptr<T>(),
                              albedo.const_data_ptr<T>(),
                              normals.const_data_ptr<T>(),
                              illumination.const_data_ptr<T>(),
                              mesh,
                              triangle_ids.const_data_ptr<int32_t>(),
                              target.const_data_ptr<T>(),
                              Camera<T>(focal, height, larger<int64_t>(width, 1)),
                              batch};
      Scene<T> sized = scene;
      sized.camera.width = static_cast<int>(width);
      const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(smaller<int64_t>(batch, 65535)));
      STYLERIG_LAUNCH(pixel_kernel<T>, grid, kPixels, on.stream(), sized, partial.mutable_data_ptr<T>(),
                      with_image ? image.mutable_data_ptr<T>() : nullptr);
      STYLERIG_LAUNCH(finish_kernel<T>, static_cast<unsigned>(batch), 32, on.stream(), blocks,
                      partial.const_data_ptr<T>(), loss.mutable_data_ptr<T>(), scale.mutable_data_ptr<T>(),
                      with_grad ? v_illumination.mutable_data_ptr<T>() : nullptr);
      if (with_grad && count > 0) {
        STYLERIG_LAUNCH(vertex_kernel<T>, blocks_for(batch * count, kVertices), kVertices, on.stream(), sized,
                        scale.const_data_ptr<T>(), v_vertices.mutable_data_ptr<T>(), v_albedo.mutable_data_ptr<T>(),
                        v_normals.mutable_data_ptr<T>());
      }
    });
    check_launch(op);
  }
  return {loss, image, v_vertices, v_albedo, v_normals, v_illumination};
}

// Multiplies the gradients of each picture's loss by that of the caller's loss with respect to it.
std::tuple<Tensor, Tensor, Tensor, Tensor> backward(const Tensor& v_loss, const Tensor& v_vertices,
                                                    const Tensor& v_albedo, const Tensor& v_normals,
                                                    const Tensor& v_illumination, const Tensor& /*vertices*/,
                                                    const Tensor& /*albedo*/, const Tensor& /*normals*/,
                                                    const Tensor& /*illumination*/) {
  const int64_t batch = v_loss.size(0);
  const OnDevice on(v_loss);
  const Tensor* inputs[4] = {&v_vertices, &v_albedo, &v_normals, &v_illumination};
  Tensor outputs[4];
  for (int i = 0; i < 4; ++i) {
    const int64_t rows = inputs[i]->size(1), values = 3 * rows;
    check("masked_photometric", "saved gradients", *inputs[i], {batch, rows, 3});
    outputs[i] = empty({batch, rows, 3}, v_loss);
    if (batch * values == 0) continue;
    dispatch_float("masked_photometric", v_loss, [&](auto type) {
      using T = decltype(type);
      STYLERIG_LAUNCH(scale_kernel<T>, blocks_for(batch * values, 256), 256, on.stream(), batch * values, values,
                      v_loss.const_data_ptr<T>(), inputs[i]->const_data_ptr<T>(), outputs[i].mutable_data_ptr<T>());
    });
  }
  check_launch("masked_photometric");
  return {outputs[0], outputs[1], outputs[2], outputs[3]};
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) {
  m.impl("masked_photometric_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("masked_photometric_bwd", TORCH_BOX(&stylerig::backward));
}
