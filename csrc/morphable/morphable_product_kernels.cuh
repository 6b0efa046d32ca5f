// The products of morphable's backward pass: what the gradients of all vertices are to every coefficient. There are few
// pictures and coefficients but very many vertices: their numbers are what the blocks share.
#pragma once

#include "morphable/morphable_kernels.cuh"

namespace stylerig {
namespace {

constexpr int kTile = 32;           // a block's pictures, and its coefficients
constexpr int kSlice = 32;          // numbers that a warp looks at together
constexpr int64_t kMostParts = 64;  // into which the numbers are divided
constexpr int64_t kMostTiles = 65535;
constexpr int kProducts = 3;
template <typename T>
constexpr int kProductWarps = sizeof(T) == 4 ? 4 : 2;  // whose slices fit into shared memory

// out = gradient basis^T
template <typename T, typename Basis>
struct Product {
  const T* gradient;   // [B, N]
  const Basis* basis;  // [K, N]
  T* out;              // [B, K]
  int64_t size;        // K

  STYLERIG_HD int64_t tiles() const { return (size + kTile - 1) / kTile; }
};

template <typename T, typename Basis>
struct Products {
  Product<T, Basis> of[kProducts];
  int64_t batch, length;  // B, N

  STYLERIG_HD int64_t tiles() const { return of[0].tiles() + of[1].tiles() + of[2].tiles(); }
  // The product of a tile of all, and which of its own tiles that is.
  __device__ __forceinline__ Product<T, Basis> find(int64_t& tile) const {
    Product<T, Basis> found = of[0];
#pragma unroll
    for (int i = 1; i < kProducts; ++i) {
      if (tile < found.tiles()) break;
      tile -= found.tiles();
      found = of[i];
    }
    return found;
  }
};

// Parts of the numbers are on blockIdx.x, tiles on blockIdx.y. partial: [gridDim.x, gridDim.y, B, kTile].
template <typename T, typename Basis>
__global__ void __launch_bounds__(32 * kProductWarps<T>)
    product_kernel(Products<T, Basis> products, T* __restrict__ partial) {
  constexpr int kWarps = kProductWarps<T>;
  __shared__ T gradients[kWarps][kSlice][kTile + 1], offsets[kWarps][kSlice][kTile + 1];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = lane / 4, column = lane % 4;
  const int64_t batch = products.batch, length = products.length, slices = (length + kSlice - 1) / kSlice;
  int64_t tile = blockIdx.y;
  const Product<T, Basis> product = products.find(tile);
  const int64_t k0 = tile * kTile;
  for (int64_t b0 = 0; b0 < batch; b0 += kTile) {
    T sums[4][8] = {};  // of pictures row + 8 i and coefficients column + 4 j
    for (int64_t slice = blockIdx.x * int64_t(kWarps) + warp; slice < slices; slice += int64_t(gridDim.x) * kWarps) {
      const int64_t n = slice * kSlice + lane;
      __syncwarp();
#pragma unroll 16
      for (int i = 0; i < kTile; ++i) {
        gradients[warp][lane][i] = n < length && b0 + i < batch ? product.gradient[(b0 + i) * length + n] : T(0);
        offsets[warp][lane][i] =
            n < length && k0 + i < product.size ? T(widen(product.basis[(k0 + i) * length + n])) : T(0);
      }
      __syncwarp();
#pragma unroll 4
      for (int s = 0; s < kSlice; ++s) {
        T of_pictures[4], of_basis[8];
#pragma unroll
        for (int i = 0; i < 4; ++i) of_pictures[i] = gradients[warp][s][row + 8 * i];
#pragma unroll
        for (int j = 0; j < 8; ++j) of_basis[j] = offsets[warp][s][column + 4 * j];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 8; ++j) sums[i][j] += of_pictures[i] * of_basis[j];
        }
      }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) gradients[warp][row + 8 * i][column + 4 * j] = sums[i][j];
    }
    __syncthreads();
    for (int i = warp; i < kTile && b0 + i < batch; i += kWarps) {
      T total = 0;
      for (int w = 0; w < kWarps; ++w) total += gradients[w][i][lane];
      partial[((blockIdx.x * int64_t(gridDim.y) + blockIdx.y) * batch + b0 + i) * kTile + lane] = total;
    }
    __syncthreads();
  }
}

// Adds the parts up, always in the same order.
template <typename T, typename Basis>
__global__ void __launch_bounds__(kThreads)
    product_sum_kernel(Products<T, Basis> products, int64_t parts, const T* __restrict__ partial) {
  const int64_t of_tile = products.batch * kTile, count = products.tiles() * of_tile;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < count; i += int64_t(gridDim.x) * kThreads) {
    T sum = 0;
#pragma unroll 8
    for (int64_t part = 0; part < parts; ++part) sum += partial[part * count + i];
    int64_t tile = i / of_tile;
    const Product<T, Basis> product = products.find(tile);
    const int64_t b = i % of_tile / kTile, k = tile * kTile + i % kTile;
    if (k < product.size) product.out[b * product.size + k] = sum;
  }
}

}  // namespace
}  // namespace stylerig
