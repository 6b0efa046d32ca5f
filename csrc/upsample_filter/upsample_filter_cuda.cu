// upsample_filter on CUDA. A thread makes a column of pixels, two wide, of a few channels: it reads five pixels of
// every row of the input once and keeps the last three rows, filtered across, in registers. Neighbours read most of
// these pixels too, at about the same time, so they come from the cache.
#include "common/cuda.h"
#include "styled_epilogue/styled_epilogue.h"
#include "styled_epilogue/styled_epilogue_arguments.h"
#include "styled_epilogue/styled_epilogue_packs.cuh"

namespace stylerig {
namespace {

constexpr int kThreads = 128;
constexpr int kColumns = 2, kRows = 8;  // of the output, per thread

template <typename T>
struct Arguments {
  Styled s;
  const T* x;         // [B, H + 1, W + 1, C]
  const float* taps;  // [4]
  T* y;               // [B, H, W, C]
};

// One row of the input, filtered across: the values of two output columns; zero outside.
template <typename T, int N>
__device__ __forceinline__ void filter_across(const Arguments<T>& a, const T* __restrict__ sample, int row, int left,
                                              int c, const float* taps, float (&line)[kColumns][N]) {
  const int height = static_cast<int>(a.s.height), width = static_cast<int>(a.s.width);
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
#pragma unroll
    for (int i = 0; i < N; ++i) line[j][i] = 0.0f;
  }
  if (row < 0 || row > height) return;
#pragma unroll
  for (int k = 0; k < kColumns + 3; ++k) {
    const int column = left + k - 1;
    if (column < 0 || column > width) continue;
    const Pack<T, N> pack = load_pack<T, N>(sample + (int64_t(row) * (width + 1) + column) * a.s.channels + c);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      if (k < j || k > j + 3) continue;
#pragma unroll
      for (int i = 0; i < N; ++i) line[j][i] += taps[k - j] * static_cast<float>(pack.values[i]);
    }
  }
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads, 4) filter_kernel(Arguments<T> a) {
  const int height = static_cast<int>(a.s.height), width = static_cast<int>(a.s.width);
  const int groups = static_cast<int>(a.s.channels) / N;
  const int columns = (width + kColumns - 1) / kColumns, rows = (height + kRows - 1) / kRows;
  const int64_t b = blockIdx.y, count = int64_t(groups) * columns * rows;
  const T* sample = a.x + b * (a.s.height + 1) * (a.s.width + 1) * a.s.channels;
  float taps[4];  // a convolution, so they are flipped
#pragma unroll
  for (int k = 0; k < 4; ++k) taps[k] = a.taps[3 - k];
  for (int64_t item = blockIdx.x * int64_t(kThreads) + threadIdx.x; item < count;
       item += int64_t(gridDim.x) * kThreads) {
    const int c = static_cast<int>(item % groups) * N;
    const int left = static_cast<int>(item / groups % columns) * kColumns;
    const int top = static_cast<int>(item / groups / columns) * kRows;
    const float* style = a.s.style.row(b);
    const Constants<N> factor(a.s.demodulation.row(b) + c), bias(a.s.bias + c),
        next(style == nullptr ? nullptr : style + c, 1.0f);
    float lines[4][kColumns][N];
#pragma unroll
    for (int k = 0; k < 3; ++k) filter_across<T, N>(a, sample, top + k - 1, left, c, taps, lines[k]);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (top + r >= height) break;
      filter_across<T, N>(a, sample, top + r + 2, left, c, taps, lines[(r + 3) % 4]);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        if (left + j >= width) continue;
        const int64_t pixel = int64_t(top + r) * width + left + j;
        const float noise = a.s.noise == nullptr ? 0.0f : a.s.noise[pixel];
        Pack<T, N> pack;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          float value = 0.0f;
#pragma unroll
          for (int k = 0; k < 4; ++k) value += taps[k] * lines[(r + k) % 4][j][i];
          value = activate(value, factor.values[i], noise, bias.values[i], a.s.clamp);
          pack.values[i] = static_cast<T>(value * next.values[i]);
        }
        store_pack<T, N>(a.y + (b * a.s.height * a.s.width + pixel) * a.s.channels + c, pack);
      }
    }
  }
}

template <typename T, int N>
void launch(const Arguments<T>& a, cudaStream_t stream) {
  const int64_t columns = (a.s.width + kColumns - 1) / kColumns, rows = (a.s.height + kRows - 1) / kRows;
  const dim3 blocks(blocks_for(a.s.channels / N * columns * rows, kThreads), static_cast<unsigned>(a.s.batch));
  STYLERIG_LAUNCH((filter_kernel<T, N>), blocks, kThreads, stream, a);
}

void upsample_filter(const Tensor& x, const Tensor& taps, const Tensor& demodulation,
                     const std::optional<Tensor>& noise, const Tensor& bias, const std::optional<Tensor>& style,
                     double clamp, const Tensor& out) {
  const char* op = "upsample_filter";
  const int64_t batch = x.size(0), height = x.size(1) - 1, width = x.size(2) - 1, count = x.size(3);
  check(op, "x", x, {batch, height + 1, width + 1, count});
  check(op, "out", out, {batch, height, width, count});
  check(op, "taps", taps, {4});
  const Styled s = styled_arguments(op, batch, height, width, count, demodulation, noise, bias, style, clamp);
  check_sizes(op, s);
  if (batch * height * width * count == 0) return;
  const OnDevice on(x);
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    // Four channels in any precision: more would not fit into the registers.
    const Arguments<T> a = {s, x.const_data_ptr<T>(), taps.const_data_ptr<float>(), out.mutable_data_ptr<T>()};
    if (fits_packs<T, 4>(s, a.x, a.y)) {
      launch<T, 4>(a, on.stream());
    } else {
      launch<T, 1>(a, on.stream());
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("upsample_filter", TORCH_BOX(&stylerig::upsample_filter)); }
