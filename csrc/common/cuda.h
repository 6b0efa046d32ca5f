// What the CUDA files share on the host side: device, stream, launches and their checks. See common/cpu.h for tensors.
//
// With STYLERIG_EMULATE_CUDA the same files compile as plain C++ and their kernels run on the CPU, thread by thread
// (tests/ops/emulation): their logic is tested where there is no GPU.
#pragma once

#if defined(STYLERIG_EMULATE_CUDA)
#include "emulate_cuda.h"
#else
#include <cuda_runtime.h>
#define STYLERIG_CUDA_LIBRARY(m) STABLE_TORCH_LIBRARY_IMPL(stylerig, CUDA, m)
#define STYLERIG_LAUNCH(kernel, blocks, threads, stream, ...) kernel<<<blocks, threads, 0, stream>>>(__VA_ARGS__)
#endif

#include <torch/csrc/stable/accelerator.h>

#include <stdexcept>
#include <string>

#include "common/cpu.h"

// torch exports it from its CUDA half. Weak, so that this library also loads beside a torch without CUDA, where no
// CUDA tensor can exist and nothing ever calls it.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index,
                                                                                   void** ret_stream);

namespace stylerig {

// Makes the tensor's device current for as long as it lives, and knows torch's current stream there.
#if defined(STYLERIG_EMULATE_CUDA)
class OnDevice {
 public:
  explicit OnDevice(const Tensor&) {}
  cudaStream_t stream() const { return nullptr; }
};
#else
class OnDevice {
 public:
  explicit OnDevice(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    if (aoti_torch_get_current_cuda_stream == nullptr)
      throw std::runtime_error("stylerig: torch was built without CUDA");
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }
  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_ = nullptr;
};
#endif

inline void check_cuda(cudaError_t status, const char* op) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(op) + ": " + cudaGetErrorString(status));
}

inline void check_launch(const char* op) { check_cuda(cudaGetLastError(), op); }

// How far a grid goes; kernels loop over the rest. And how many blocks keep a large GPU busy: four on each of 132
// multiprocessors. The emulated ones are so small that tests reach those loops and both sides of that choice.
#if defined(STYLERIG_EMULATE_CUDA)
constexpr int64_t kMostRows = 2, kMostBlocks = 3, kEnoughBlocks = 3;
#else
constexpr int64_t kMostRows = 65535, kMostBlocks = 1 << 20, kEnoughBlocks = 528;
#endif

// Blocks of `size` threads for `count` items.
inline unsigned blocks_for(int64_t count, int size) {
  return static_cast<unsigned>(larger<int64_t>(1, smaller((count + size - 1) / size, kMostBlocks)));
}

// blockIdx.y for pictures: no thread has to divide to find its own.
inline unsigned rows_for(int64_t pictures) { return static_cast<unsigned>(smaller(pictures, kMostRows)); }

// Sum over the lanes of a warp, the same in every lane and in every run.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// The sums of kCount values (a power of two, at most a warp) over the lanes of a warp: lane i gets that of value
// i % kCount, the same in every run. Lanes hand half of their values on and keep the other half, so that 32 values take
// 31 shuffles and not 160.
template <int kCount, int kAll = kCount, typename T>
__device__ __forceinline__ T warp_sums(const T (&values)[kCount]) {
  static_assert(kAll <= 32 && (kAll & (kAll - 1)) == 0, "a power of two, at most a warp");
  if constexpr (kCount > 1) {
    constexpr int kHalf = kCount / 2;
    const bool upper = (threadIdx.x & kHalf) != 0;
    T folded[kHalf];
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const T low = values[i], high = values[i + kHalf];
      folded[i] = (upper ? high : low) + __shfl_xor_sync(0xffffffffu, upper ? low : high, kHalf);
    }
    return warp_sums<kHalf, kAll>(folded);
  } else {
    T sum = values[0];
#pragma unroll
    for (int offset = 16; offset >= kAll; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    return sum;
  }
}

// Threads of a block that adds the rows of a table up, and its warps.
constexpr int kAdders = 256, kAdderWarps = kAdders / 32;

// The sums of a table's columns, rows [count, kWidth], by a block of kAdders threads: each warp adds every eighth row
// in order, then the warps' sums are added in order. Thread i < kWidth gets column i's; the others get 0.
template <typename Sum, int kWidth, typename T>
__device__ __forceinline__ Sum column_sum(const T* __restrict__ rows, int64_t count,
                                          Sum (&of_warps)[kAdderWarps][kWidth]) {
  static_assert(kWidth <= 32, "a lane per column");
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane < kWidth) {
    Sum sum = 0;
#pragma unroll 8
    for (int64_t row = warp; row < count; row += kAdderWarps) sum += Sum(rows[row * kWidth + lane]);
    of_warps[warp][lane] = sum;
  }
  __syncthreads();
  Sum sum = 0;
  if (threadIdx.x < kWidth) {
    for (int w = 0; w < kAdderWarps; ++w) sum += of_warps[w][threadIdx.x];
  }
  return sum;
}

// A bound-checked view of the lists that `ops.adjacency` makes.
struct DeviceAdjacency {
  const int32_t* triangles;  // [T, 3]
  const int32_t* offsets;    // [V + 1]
  const int32_t* corners;    // [3 T]
  int64_t num_triangles, num_vertices;

  // The corners at a vertex. A wrong adjacency may leave some out, but nothing is read outside the arrays.
  __device__ __forceinline__ void range(int64_t v, int32_t& begin, int32_t& end) const {
    begin = larger(offsets[v], 0);
    end = static_cast<int32_t>(smaller<int64_t>(offsets[v + 1], 3 * num_triangles));
  }
  // The triangle and the number (0, 1, 2) of entry c of the corners; false if it names what is not there.
  __device__ __forceinline__ bool corner(int32_t c, int32_t& triangle, int& number) const {
    const int32_t found = corners[c];
    triangle = found / 3;
    number = found % 3;
    if (static_cast<uint32_t>(found) >= 3 * num_triangles) return false;
    const int32_t* index = triangles + 3 * static_cast<int64_t>(triangle);
    return static_cast<uint32_t>(index[0]) < num_vertices && static_cast<uint32_t>(index[1]) < num_vertices &&
           static_cast<uint32_t>(index[2]) < num_vertices;
  }
};

inline DeviceAdjacency device_adjacency(const char* op, const Tensor& triangles, const Tensor& offsets,
                                        const Tensor& corners, int64_t num_vertices) {
  const int64_t num_triangles = triangles.size(0);
  check(op, "triangles", triangles, {num_triangles, 3});
  check(op, "offsets", offsets, {num_vertices + 1});
  check(op, "corners", corners, {3 * num_triangles});
  return {triangles.const_data_ptr<int32_t>(), offsets.const_data_ptr<int32_t>(), corners.const_data_ptr<int32_t>(),
          num_triangles, num_vertices};
}

}  // namespace stylerig
