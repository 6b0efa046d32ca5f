// The CUDA kernels of morphable's forward pass; morphable_cuda.cu launches them and says what each is for.
#pragma once

#include "common/cuda.h"
#include "morphable/morphable.h"

namespace stylerig {
namespace {

constexpr int kThreads = 128;
constexpr int kChunk = 96;  // coefficients in shared memory at a time
// Coefficients whose numbers are read ahead: as many as the registers leave room for beside the sums; divides kChunk.
template <typename T, int kPictures>
constexpr int kAheadOf = sizeof(T) == 4 && kPictures <= 8 ? 16 : 8;

struct Half {  // bfloat16: the upper half of a float
  uint16_t bits;
};

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ float widen(Half value) { return __uint_as_float(uint32_t(value.bits) << 16); }

template <typename T>
__global__ void pose_kernel(int64_t batch, const T* __restrict__ rotation,  // [B, 3]
                            const T* __restrict__ translation,              // [B, 3]
                            Pose<T>* __restrict__ poses) {                  // [B]
  for (int64_t b = blockIdx.x * int64_t(blockDim.x) + threadIdx.x; b < batch; b += int64_t(gridDim.x) * blockDim.x) {
    poses[b] = Pose<T>(rotation + 3 * b, translation + 3 * b);
  }
}

// A warp's 32 vertices are 96 numbers in a row. Lane i works on numbers i, i + 32 and i + 64, so that a warp reads and
// writes whole lines, not every third number three times.
struct Numbers {
  int64_t at[3];  // what to read: beyond the last number the last one, so that no load waits for a branch
  bool there[3];  // whether to write

  __device__ __forceinline__ Numbers(int64_t vertex, int64_t num_vertices) {
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const int64_t number = 3 * vertex + 32 * c + threadIdx.x % 32;
      there[c] = number < 3 * num_vertices;
      at[c] = there[c] ? number : 3 * num_vertices - 1;
    }
  }
};

// sums[j] += coefficients [b0 + j, :] . basis [:, numbers] for the block's pictures. All threads take part. The numbers
// of kAhead coefficients are on their way at a time: that is what keeps the memory busy.
template <typename T, typename Basis, int kPictures>
__device__ __forceinline__ void accumulate(const Basis* __restrict__ basis,     // [K, V, 3]
                                           const T* __restrict__ coefficients,  // [B, K]
                                           int64_t size, int64_t batch, int64_t b0, int64_t num_vertices,
                                           const Numbers& numbers, T (*chunk)[kPictures], T (&sums)[kPictures][3]) {
  constexpr int kAhead = kAheadOf<T, kPictures>;
  for (int64_t k0 = 0; k0 < size; k0 += kChunk) {
    const int count = int(smaller<int64_t>(kChunk, size - k0)), padded = (count + kAhead - 1) / kAhead * kAhead;
    __syncthreads();
    for (int i = threadIdx.x; i < padded * kPictures; i += kThreads) {
      const int k = i / kPictures;
      const int64_t b = b0 + i % kPictures;
      chunk[k][i % kPictures] = k < count && b < batch ? coefficients[b * size + k0 + k] : T(0);
    }
    __syncthreads();
    const Basis* rows = basis + 3 * k0 * num_vertices;
    for (int k = 0; k < padded; k += kAhead) {
      Basis offsets[kAhead][3];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        const Basis* row = rows + 3 * num_vertices * smaller(k + a, count - 1);
#pragma unroll
        for (int c = 0; c < 3; ++c) offsets[a][c] = row[numbers.at[c]];
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
#pragma unroll
        for (int c = 0; c < 3; ++c) {
          const T offset = T(widen(offsets[a][c]));
#pragma unroll
          for (int j = 0; j < kPictures; ++j) sums[j][c] += chunk[k + a][j] * offset;
        }
      }
    }
  }
}

template <typename T, typename Basis>
struct Model {
  const T *mean, *albedo_mean;                                    // [V, 3]
  const Basis *identity_basis, *expression_basis, *albedo_basis;  // [A, V, 3], [E, V, 3], [C, V, 3]
  const T *identity, *expression, *albedo;                        // [B, A], [B, E], [B, C]
  int64_t identity_size, expression_size, albedo_size, batch, num_vertices;
  T focal;
};

template <typename T, int kPictures>
__device__ __forceinline__ void start_from(const T* __restrict__ mean, const Numbers& numbers,
                                           T (&sums)[kPictures][3]) {
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const T value = mean[numbers.at[c]];
#pragma unroll
    for (int j = 0; j < kPictures; ++j) sums[j][c] = value;
  }
}

template <typename T, int kPictures>
__device__ __forceinline__ void write_colours(int64_t batch, int64_t b0, int64_t num_vertices, const Numbers& numbers,
                                              const T (&sums)[kPictures][3], T* __restrict__ colours) {
#pragma unroll
  for (int j = 0; j < kPictures; ++j) {
    if (b0 + j >= batch) break;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      if (numbers.there[c]) colours[3 * (b0 + j) * num_vertices + numbers.at[c]] = sums[j][c];
    }
  }
}

// Turns the warp's numbers into vertices and back through `row`, and writes them posed.
template <typename T, typename Basis, int kPictures>
__device__ __forceinline__ void write_posed(const Model<T, Basis>& m, const Pose<T>* __restrict__ poses, int64_t b0,
                                            int64_t vertex, const Numbers& numbers, const T (&sums)[kPictures][3],
                                            T* row, T* __restrict__ vertices, T* __restrict__ screen) {
  const int lane = threadIdx.x % 32;
  const int64_t v = vertex + lane;
#pragma unroll
  for (int j = 0; j < kPictures; ++j) {
    const int64_t b = b0 + j;
    if (b >= m.batch) break;
    __syncwarp();
#pragma unroll
    for (int c = 0; c < 3; ++c) row[lane + 32 * c] = sums[j][c];
    __syncwarp();
    const Vec3<T> posed = poses[b].apply(load3(row + 3 * lane));
    store3(row + 3 * lane, posed);
    if (screen != nullptr && v < m.num_vertices) project_point(posed, m.focal, screen + 2 * (b * m.num_vertices + v));
    __syncwarp();
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      if (numbers.there[c]) vertices[3 * b * m.num_vertices + numbers.at[c]] = row[lane + 32 * c];
    }
  }
}

// A block: kThreads vertices of kPictures pictures, their positions (blockIdx.y even) or their colours (odd).
// blockIdx.x runs over groups of pictures, so that blocks which read the same part of the bases run at the same time
// and share it in the L2 cache.
template <typename T, typename Basis, int kPictures>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 && kPictures == 16 ? 4 : 3)
    forward_kernel(Model<T, Basis> m, const Pose<T>* __restrict__ poses,  // [B]
                   T* __restrict__ vertices,                              // [B, V, 3]
                   T* __restrict__ colours,                               // [B, V, 3]
                   T* __restrict__ screen) {                              // [B, V, 2] or null
  __shared__ T chunk[kChunk][kPictures];
  __shared__ T rows[kThreads / 32][96];
  const int warp = threadIdx.x / 32;
  const int64_t b0 = blockIdx.x * int64_t(kPictures), step = gridDim.y / 2 * int64_t(kThreads);
  T sums[kPictures][3];
  for (int64_t first = blockIdx.y / 2 * int64_t(kThreads); first < m.num_vertices; first += step) {
    const int64_t vertex = first + 32 * warp;
    const Numbers numbers(vertex, m.num_vertices);
    if (blockIdx.y % 2 == 0) {
      start_from(m.mean, numbers, sums);
      accumulate(m.identity_basis, m.identity, m.identity_size, m.batch, b0, m.num_vertices, numbers, chunk, sums);
      accumulate(m.expression_basis, m.expression, m.expression_size, m.batch, b0, m.num_vertices, numbers, chunk,
                 sums);
      write_posed(m, poses, b0, vertex, numbers, sums, rows[warp], vertices, screen);
    } else {
      start_from(m.albedo_mean, numbers, sums);
      accumulate(m.albedo_basis, m.albedo, m.albedo_size, m.batch, b0, m.num_vertices, numbers, chunk, sums);
      write_colours(m.batch, b0, m.num_vertices, numbers, sums, colours);
    }
  }
}

template <typename T>
__global__ void landmark_kernel(int64_t count, int64_t marks, int64_t num_vertices, T focal,
                                const int64_t* __restrict__ index,  // [L]
                                const T* __restrict__ vertices,     // [B, V, 3]
                                T* __restrict__ landmarks) {        // [B, L, 2]
  for (int64_t i = blockIdx.x * int64_t(blockDim.x) + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
    const int64_t v = index[i % marks];
    if (v < 0 || v >= num_vertices) {  // cannot be reported from here without waiting for the device: shows as NaN
      landmarks[2 * i] = landmarks[2 * i + 1] = T(NAN);
      continue;
    }
    project_point(load3(vertices + 3 * (i / marks * num_vertices + v)), focal, landmarks + 2 * i);
  }
}

}  // namespace
}  // namespace stylerig
