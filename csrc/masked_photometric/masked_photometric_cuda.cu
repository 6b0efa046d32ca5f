// masked_photometric on CUDA, in kernels without floating-point atomics, so that every run gives the same:
// 1. one thread per pixel shades it; blocks sum loss, covered pixels and the light's gradient, and the triangles that
//    have a pixel are listed;
// 2. one block per picture adds the blocks up, always in the same order;
// 3. one thread per listed triangle sums what its pixels give to its corners, shading each again: nothing is stored per
//    pixel. A triangle with many pixels to look at is shared by its warp;
// 4. one thread per vertex adds up what its corners got.
#include <tuple>

#include "common/cuda.h"
#include "masked_photometric/masked_photometric_gradient_kernels.cuh"
#include "masked_photometric/masked_photometric_kernels.cuh"

namespace stylerig {
namespace {

// Where `forward` writes; null where a call has none.
template <typename T>
struct Outputs {
  T *loss, *image, *v_vertices, *v_albedo, *v_normals, *v_gamma;
};

template <typename T, bool kGrad>
void run(const Scene<T>& scene, const Tensor& like, const Outputs<T>& out, cudaStream_t stream) {
  const int64_t blocks = larger<int64_t>(1, (scene.pixels() + kPixels - 1) / kPixels);
  Tensor partial_buffer = empty({scene.batch, blocks, kSums<kGrad>}, like);
  Tensor scale_buffer = empty({kGrad ? scene.batch : 0}, like);
  const int64_t batch = kGrad ? scene.batch : 0, triangles = scene.mesh.num_triangles;
  const int64_t most = smaller(triangles, scene.pixels());  // triangles that can have a pixel of a picture
  Tensor places_buffer = empty({batch * (triangles + 1)}, ScalarType::Int, like);
  Tensor list_buffer = empty({batch, most}, ScalarType::Int, like);
  Tensor records_buffer = empty({batch, most, kOfTriangle}, like);
  T *partial = partial_buffer.mutable_data_ptr<T>(), *scale = scale_buffer.mutable_data_ptr<T>(),
    *records = records_buffer.mutable_data_ptr<T>();
  auto* places = places_buffer.mutable_data_ptr<int32_t>();
  const Drawn drawn = {places, places + batch * triangles, list_buffer.mutable_data_ptr<int32_t>(), triangles, most};
  if (kGrad) {
    check_cuda(cudaMemsetAsync(places, 0xff, sizeof(*places) * places_buffer.numel(), stream), "masked_photometric");
  }
  const auto shade = pixel_kernel<T, kGrad>;
  STYLERIG_LAUNCH(shade, dim3(static_cast<unsigned>(blocks), rows_for(scene.batch)), kPixels, stream, scene, partial,
                  out.image, drawn);
  const auto finish = finish_kernel<T, kGrad>;
  STYLERIG_LAUNCH(finish, static_cast<unsigned>(scene.batch), kAdders, stream, blocks, partial, out.loss, scale,
                  out.v_gamma);
  if constexpr (kGrad) {
    const auto grid = [&](int64_t count, int threads) {
      return dim3(static_cast<unsigned>((count + threads - 1) / threads), rows_for(batch));
    };
    if (most > 0) {
      STYLERIG_LAUNCH(triangle_kernel<T>, grid(most, kTriangles), kTriangles, stream, scene, drawn, records);
    }
    if (scene.mesh.num_vertices > 0) {
      STYLERIG_LAUNCH(vertex_kernel<T>, grid(scene.mesh.num_vertices, kVertices), kVertices, stream, scene.mesh, batch,
                      drawn, records, scale, out.v_vertices, out.v_albedo, out.v_normals);
    }
  }
}

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
  STD_TORCH_CHECK(height * width <= kMostPixels, op, ": pictures of ", height, " x ", width,
                  " pixels are too large, at most 2^30 pixels are expected");
  const OnDevice on(vertices);
  const int64_t kept = with_grad ? batch : 0;
  Tensor loss = empty({batch}, vertices);
  Tensor image = empty({with_image ? batch : 0, 3, height, width}, vertices);
  Tensor v_vertices = empty({kept, count, 3}, vertices), v_albedo = empty({kept, count, 3}, vertices),
         v_normals = empty({kept, count, 3}, vertices), v_illumination = empty({kept, 9, 3}, vertices);
  const DeviceAdjacency mesh = device_adjacency(op, triangles, offsets, corners, count);
  if (batch > 0) {
    dispatch_float(op, vertices, [&](auto type) {
      using T = decltype(type);
      Scene<T> scene = {vertices.const_data_ptr<T>(),
                        albedo.const_data_ptr<T>(),
                        normals.const_data_ptr<T>(),
                        illumination.const_data_ptr<T>(),
                        mesh,
                        triangle_ids.const_data_ptr<int32_t>(),
                        target.const_data_ptr<T>(),
                        Camera<T>(focal, height, larger<int64_t>(width, 1)),
                        batch};
      scene.camera.width = static_cast<int>(width);
      const auto data = [](Tensor& tensor) { return tensor.numel() > 0 ? tensor.mutable_data_ptr<T>() : nullptr; };
      const Outputs<T> out = {data(loss),     data(image),     data(v_vertices),
                              data(v_albedo), data(v_normals), data(v_illumination)};
      with_grad ? run<T, true>(scene, vertices, out, on.stream()) : run<T, false>(scene, vertices, out, on.stream());
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
  const Tensor* inputs[kScaled] = {&v_vertices, &v_albedo, &v_normals, &v_illumination};
  Tensor outputs[kScaled];
  int64_t most = 0;
  for (int i = 0; i < kScaled; ++i) {
    const int64_t rows = inputs[i]->size(1);
    check("masked_photometric", "saved gradients", *inputs[i], {batch, rows, 3});
    outputs[i] = empty({batch, rows, 3}, v_loss);
    most = larger(most, 3 * rows);
  }
  if (batch * most > 0) {
    dispatch_float("masked_photometric", v_loss, [&](auto type) {
      using T = decltype(type);
      Scaled<T> arrays;
      for (int i = 0; i < kScaled; ++i) {
        arrays.in[i] = inputs[i]->const_data_ptr<T>();
        arrays.out[i] = outputs[i].mutable_data_ptr<T>();
        arrays.values[i] = 3 * inputs[i]->size(1);
      }
      const dim3 grid(static_cast<unsigned>((most + 255) / 256), rows_for(batch));
      STYLERIG_LAUNCH(scale_kernel<T>, grid, 256, on.stream(), batch, v_loss.const_data_ptr<T>(), arrays);
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
