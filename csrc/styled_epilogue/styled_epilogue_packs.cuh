// Sixteen bytes of channels at a time, for the CUDA kernels of styled_epilogue and upsample_filter.
#pragma once

#include "common/cuda.h"
#include "styled_epilogue/styled_epilogue.h"
#include "styled_epilogue/styled_epilogue_arguments.h"

namespace stylerig {

// N neighbouring channels, read and written in one instruction.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <typename T, int N>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// N values of a table, one per channel; all the same if there is no table.
template <int N>
struct Constants {
  float values[N];
  __device__ __forceinline__ explicit Constants(const float* from, float otherwise = 0.0f) {
    constexpr int kPart = N % 4 == 0 ? 4 : 1;
#pragma unroll
    for (int i = 0; i < N; i += kPart) {
      Pack<float, kPart> part;
      if (from != nullptr) part = load_pack<float, kPart>(from + i);
#pragma unroll
      for (int j = 0; j < kPart; ++j) values[i + j] = from == nullptr ? otherwise : part.values[j];
    }
  }
};

inline bool aligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

inline bool aligned(const Channelwise& table, int64_t batch) {
  return aligned(table.data, 16) && (batch <= 1 || table.stride % 4 == 0);
}

// Whether activations can be read in packs of N channels, and the tables in packs of four.
template <typename T, int N>
bool fits_packs(const Styled& s, const void* x, const void* y) {
  return s.channels % N == 0 && aligned(x, sizeof(T) * N) && aligned(y, sizeof(T) * N) &&
         aligned(s.demodulation, s.batch) && aligned(s.style, s.batch) && aligned(s.bias, 16);
}

// A sample's pixels are counted in 32 bits, its batch by the rows of a grid.
inline void check_sizes(const char* op, const Styled& s) {
  STD_TORCH_CHECK(s.batch < 65536 && s.height * s.width < (int64_t{1} << 31) && s.channels < (1 << 24), op,
                  ": the batch or the pictures are too large");
}

}  // namespace stylerig
