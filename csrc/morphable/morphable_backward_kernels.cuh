// The CUDA kernels of morphable's backward pass; morphable_cuda.cu launches them and says what each is for.
#pragma once

#include "common/cuda.h"
#include "morphable/morphable.h"

namespace stylerig {
namespace {

constexpr int kBackwardThreads = 128;
constexpr int kSums = 12;    // g (3) and g (x - t)^T (9), as in morphable_cpu.cpp
constexpr int kPadded = 16;  // to a power of two, for warp_sums

// Adds the sums of a block's threads up, in an order that is always the same; thread i < kSums writes row[i].
template <typename T>
__device__ __forceinline__ void write_sums(const T (&values)[kPadded], T (*of_warps)[kSums], T* __restrict__ row) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const T sum = warp_sums(values);
  if (lane < kSums) of_warps[warp][lane] = sum;
  __syncthreads();
  if (threadIdx.x < kSums) {
    T total = 0;
    for (int w = 0; w < kBackwardThreads / 32; ++w) total += of_warps[w][threadIdx.x];
    row[threadIdx.x] = total;
  }
}

template <typename T>
__device__ __forceinline__ void add_sums(T (&values)[kPadded], Vec3<T> g, Vec3<T> x, const Pose<T>& pose) {
  const T gs[3] = {g.x, g.y, g.z}, xs[3] = {x.x - pose.t[0], x.y - pose.t[1], x.z - pose.t[2]};
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    values[i] += gs[i];
#pragma unroll
    for (int j = 0; j < 3; ++j) values[3 + 3 * i + j] += gs[i] * xs[j];
  }
}

// partial: [B, gridDim.x + 1, kSums]; the last row of a picture is the landmarks'.
template <typename T>
__global__ void __launch_bounds__(kBackwardThreads)
    backward_kernel(int64_t batch, int64_t num_vertices, T focal, const Pose<T>* __restrict__ poses,
                    const T* __restrict__ vertices,    // [B, V, 3]
                    const T* __restrict__ v_vertices,  // [B, V, 3] or null
                    const T* __restrict__ v_screen,    // [B, V, 2] or null
                    T* __restrict__ v_shape,           // [B, V, 3]
                    T* __restrict__ partial) {
  __shared__ T of_warps[kBackwardThreads / 32][kSums];
  const int64_t v = blockIdx.x * int64_t(kBackwardThreads) + threadIdx.x;
  for (int64_t b = blockIdx.y; b < batch; b += gridDim.y) {
    T values[kPadded] = {};
    if (v < num_vertices) {
      const int64_t at = b * num_vertices + v;
      const Pose<T> pose = poses[b];
      const Vec3<T> x = load3(vertices + 3 * at);
      Vec3<T> g = {0, 0, 0};
      if (v_vertices != nullptr) g = load3(v_vertices + 3 * at);
      if (v_screen != nullptr) g = g + project_point_bwd(x, focal, v_screen[2 * at], v_screen[2 * at + 1]);
      add_sums(values, g, x, pose);
      store3(v_shape + 3 * at, pose.rotate_back(g));
    }
    write_sums(values, of_warps, partial + (b * (gridDim.x + 1) + blockIdx.x) * kSums);
    __syncthreads();
  }
}

// One block per picture. The first landmark at a vertex collects those of all landmarks there: no two threads write
// to the same place.
template <typename T>
__global__ void __launch_bounds__(kBackwardThreads)
    landmark_backward_kernel(int64_t marks, int64_t num_vertices, int64_t rows, T focal,
                             const Pose<T>* __restrict__ poses,
                             const int64_t* __restrict__ index,  // [L]
                             const T* __restrict__ vertices,     // [B, V, 3]
                             const T* __restrict__ v_landmarks,  // [B, L, 2] or null
                             T* __restrict__ v_shape,            // [B, V, 3]
                             T* __restrict__ partial) {          // [B, rows, kSums]
  __shared__ T of_warps[kBackwardThreads / 32][kSums];
  const int64_t b = blockIdx.x;
  T values[kPadded] = {};
  for (int64_t i = threadIdx.x; v_landmarks != nullptr && i < marks; i += kBackwardThreads) {
    const int64_t v = index[i];
    bool first = v >= 0 && v < num_vertices;
#pragma unroll 8
    for (int64_t j = 0; j < i; ++j) first &= index[j] != v;  // no early end: the reads go on without waiting
    if (!first) continue;
    const int64_t at = 3 * (b * num_vertices + v);
    const Vec3<T> x = load3(vertices + at);
    Vec3<T> g = {0, 0, 0};
#pragma unroll 8
    for (int64_t j = i; j < marks; ++j) {
      const T* given = v_landmarks + 2 * (b * marks + j);
      if (index[j] == v) g = g + project_point_bwd(x, focal, given[0], given[1]);
    }
    const Pose<T> pose = poses[b];
    add_sums(values, g, x, pose);
    store3(v_shape + at, load3(v_shape + at) + pose.rotate_back(g));
  }
  write_sums(values, of_warps, partial + (b * rows + rows - 1) * kSums);
}

// One block per picture.
template <typename T>
__global__ void __launch_bounds__(kAdders)
    pose_backward_kernel(int64_t rows, const T* __restrict__ partial,  // [B, rows, kSums]
                         const T* __restrict__ rotation,               // [B, 3]
                         T* __restrict__ v_rotation,                   // [B, 3]
                         T* __restrict__ v_translation) {              // [B, 3]
  __shared__ double of_warps[kAdderWarps][kSums];
  __shared__ double total[kSums];
  const int64_t b = blockIdx.x;
  const double sum = column_sum(partial + b * rows * kSums, rows, of_warps);
  if (threadIdx.x < kSums) total[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  const Rodrigues exact(rotation + 3 * b);
  double v_matrix[9], turn[3];
#pragma unroll
  for (int i = 0; i < 9; ++i) {
    const double* row = total + 3 + i / 3 * 3;
    v_matrix[i] = row[0] * exact.matrix[i % 3] + row[1] * exact.matrix[3 + i % 3] + row[2] * exact.matrix[6 + i % 3];
  }
  exact.backward(v_matrix, turn);
  for (int i = 0; i < 3; ++i) {
    v_rotation[3 * b + i] = T(turn[i]);
    v_translation[3 * b + i] = T(total[i]);
  }
}

}  // namespace
}  // namespace stylerig
