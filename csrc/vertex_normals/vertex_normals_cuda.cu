// vertex_normals on CUDA: one thread per vertex gathers over its corners. No atomics, so every run gives the same.
// Pictures are on blockIdx.y.
#include <tuple>

#include "common/cuda.h"
#include "vertex_normals/vertex_normals.h"

namespace stylerig {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads, 4) forward_kernel(DeviceAdjacency mesh, int64_t batch,
                                                              const T* __restrict__ vertices,  // [B, V, 3]
                                                              T* __restrict__ normals,         // [B, V, 3]
                                                              T* __restrict__ inverses) {      // [B, V]
  const int64_t v = blockIdx.x * int64_t(kThreads) + threadIdx.x;
  if (v >= mesh.num_vertices) return;
  int32_t begin, end;
  mesh.range(v, begin, end);
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    const int64_t i = b * mesh.num_vertices + v;
    const T* picture = vertices + 3 * (i - v);
    Vec3<T> sum = {0, 0, 0};
    for (int32_t c = begin; c < end; ++c) {
      int32_t t;
      int k;
      if (mesh.corner(c, t, k)) sum = sum + area_vector(picture, Triangle(mesh.triangles, t));
    }
    T inverse;
    store3(normals + 3 * i, unit_normal(sum, inverse));
    inverses[i] = inverse;
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) sums_kernel(int64_t count, const T* __restrict__ normals,  // [B, V, 3]
                                                        const T* __restrict__ inverses,                // [B, V]
                                                        const T* __restrict__ v_normals,               // [B, V, 3]
                                                        T* __restrict__ v_sums) {                      // [B, V, 3]
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads) {
    store3(v_sums + 3 * i, normalize_bwd(load3(normals + 3 * i), inverses[i], load3(v_normals + 3 * i)));
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) backward_kernel(DeviceAdjacency mesh, int64_t batch,
                                                            const T* __restrict__ vertices,  // [B, V, 3]
                                                            const T* __restrict__ v_sums,    // [B, V, 3]
                                                            T* __restrict__ v_vertices) {    // [B, V, 3]
  const int64_t v = blockIdx.x * int64_t(kThreads) + threadIdx.x;
  if (v >= mesh.num_vertices) return;
  int32_t begin, end;
  mesh.range(v, begin, end);
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    const int64_t i = b * mesh.num_vertices + v, picture = 3 * (i - v);
    Vec3<T> sum = {0, 0, 0};
    for (int32_t c = begin; c < end; ++c) {
      int32_t t;
      int k;
      if (!mesh.corner(c, t, k)) continue;
      const Triangle triangle(mesh.triangles, t);
      const Vec3<T> v_area = load3(v_sums + picture + 3 * int64_t(triangle.i[0])) +
                             load3(v_sums + picture + 3 * int64_t(triangle.i[1])) +
                             load3(v_sums + picture + 3 * int64_t(triangle.i[2]));
      sum = sum + area_vector_bwd(vertices + picture, triangle, k, v_area);
    }
    store3(v_vertices + 3 * i, sum);
  }
}

std::tuple<Tensor, Tensor> forward(const Tensor& vertices, const Tensor& triangles, const Tensor& offsets,
                                   const Tensor& corners) {
  const int64_t batch = vertices.size(0), count = vertices.size(1);
  check("vertex_normals", "vertices", vertices, {batch, count, 3});
  const OnDevice on(vertices);
  Tensor normals = empty({batch, count, 3}, vertices), inverses = empty({batch, count}, vertices);
  const DeviceAdjacency mesh = device_adjacency("vertex_normals", triangles, offsets, corners, count);
  if (batch * count > 0) {
    dispatch_float("vertex_normals", vertices, [&](auto type) {
      using T = decltype(type);
      const dim3 grid(static_cast<unsigned>((count + kThreads - 1) / kThreads), rows_for(batch));
      STYLERIG_LAUNCH(forward_kernel<T>, grid, kThreads, on.stream(), mesh, batch, vertices.const_data_ptr<T>(),
                      normals.mutable_data_ptr<T>(), inverses.mutable_data_ptr<T>());
    });
    check_launch("vertex_normals");
  }
  return {normals, inverses};
}

Tensor backward(const Tensor& v_normals, const Tensor& vertices, const Tensor& triangles, const Tensor& offsets,
                const Tensor& corners, const Tensor& normals, const Tensor& inverses) {
  const int64_t batch = vertices.size(0), count = vertices.size(1);
  for (const Tensor* tensor : {&v_normals, &vertices, &normals}) {
    check("vertex_normals", "a tensor of the backward pass", *tensor, {batch, count, 3});
  }
  check("vertex_normals", "inverses", inverses, {batch, count});
  const OnDevice on(vertices);
  Tensor v_vertices = empty({batch, count, 3}, vertices), v_sums = empty({batch, count, 3}, vertices);
  const DeviceAdjacency mesh = device_adjacency("vertex_normals", triangles, offsets, corners, count);
  if (batch * count > 0) {
    dispatch_float("vertex_normals", vertices, [&](auto type) {
      using T = decltype(type);
      const dim3 grid(static_cast<unsigned>((count + kThreads - 1) / kThreads), rows_for(batch));
      STYLERIG_LAUNCH(sums_kernel<T>, blocks_for(batch * count, kThreads), kThreads, on.stream(), batch * count,
                      normals.const_data_ptr<T>(), inverses.const_data_ptr<T>(), v_normals.const_data_ptr<T>(),
                      v_sums.mutable_data_ptr<T>());
      STYLERIG_LAUNCH(backward_kernel<T>, grid, kThreads, on.stream(), mesh, batch, vertices.const_data_ptr<T>(),
                      v_sums.const_data_ptr<T>(), v_vertices.mutable_data_ptr<T>());
    });
    check_launch("vertex_normals");
  }
  return v_vertices;
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) {
  m.impl("vertex_normals_fwd", TORCH_BOX(&stylerig::forward));
  m.impl("vertex_normals_bwd", TORCH_BOX(&stylerig::backward));
}
