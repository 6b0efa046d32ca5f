// depthwise_layer on CUDA. A thread makes a strip of pixels, two wide, of a few channels: it goes down the rows of x,
// finishes the pixels of a row around its columns in registers, and adds them to the three rows of the output that they
// reach. The next row is on its way meanwhile. Neighbours read some of the same pixels at about the same time: they
// come from the cache, and to finish a value two or three times costs less than to exchange it.
#include <type_traits>

#include "common/cuda.h"
#include "depthwise_layer/depthwise_layer.h"
#include "styled_epilogue/styled_epilogue_packs.cuh"

namespace stylerig {
namespace {

constexpr int kThreads = 128, kWarp = 32;
constexpr int kColumns = 2, kMostRows = 8;   // of the output, per thread
constexpr int64_t kEnoughThreads = 1 << 16;  // to fill a large GPU; smaller layers are cut into shorter strips

template <typename From, typename To>
struct Arguments {
  int height, width, channels;  // of the output
  const From* x;                // [B, H, W, C], or of bands [B, H / 2, W / 2, 4 C]
  const float* noise;           // [H, W] of x, or null
  const float* bias;            // [C] of x
  Channelwise bands;            // [B, 4 C]: scales of the bands
  const float* weight;          // [3, 3, C]
  Channelwise style;            // [B, C]
  To* y;                        // [B, H, W, C]
  int lanes, rows;              // threads that share a pixel, rows of a strip
};

// A pixel of x as it is in memory: N channels, of each band.
template <typename From, int N, bool kBands>
struct Pixel {
  Pack<From, N> parts[kBands ? 4 : 1];
  float noise;
};

template <typename From, int N, bool kBands>
__device__ __forceinline__ void load_pixel(Pixel<From, N, kBands>& to, const From* __restrict__ x, const float* noise,
                                           int64_t pixel, int channels) {
  constexpr int kParts = kBands ? 4 : 1;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    to.parts[part] = load_pack<From, N>(x + (pixel * kParts + part) * channels);
  }
  to.noise = noise == nullptr ? 0.0f : noise[pixel];
}

// Adds column `m` of the four that a strip reaches, of one row, to the rows of the output around it.
template <int N>
__device__ __forceinline__ void spread(float (*sums)[kColumns][N], const float (&taps)[3][3][N], int m, int i,
                                       float value) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    if (m < j || m > j + 2) continue;
#pragma unroll
    for (int k = 0; k < 3; ++k) sums[k][j][i] += taps[2 - k][m - j][i] * value;
  }
}

template <typename From, typename To, int N, bool kBands>
__global__ void __launch_bounds__(kThreads, sizeof(From) == 4 && !kBands ? 3 : 4) layer_kernel(Arguments<From, To> a) {
  constexpr int kParts = kBands ? 4 : 1, kScale = kBands ? 2 : 1;
  constexpr int kReach = kBands ? 3 : 4;  // pixels of a row of x that a strip needs
  const int lane = threadIdx.x % a.lanes, chunks = (a.channels + a.lanes * N - 1) / (a.lanes * N);
  const int across = kThreads / a.lanes * kColumns, tiles = (a.width + across - 1) / across;
  const int c = (static_cast<int>(blockIdx.x) % chunks * a.lanes + lane) * N;
  const int tile = static_cast<int>(blockIdx.x) / chunks;
  const int left = tile % tiles * across + static_cast<int>(threadIdx.x) / a.lanes * kColumns;
  const int top = tile / tiles * a.rows;
  if (c >= a.channels || left >= a.width) return;
  const int64_t b = blockIdx.y;
  const int height = a.height / kScale, width = a.width / kScale;  // of x
  const From* x = a.x + b * height * width * kParts * a.channels + c;
  To* y = a.y + b * a.height * a.width * a.channels + c;

  float taps[3][3][N];
#pragma unroll
  for (int k = 0; k < 9; ++k) {
    const Constants<N> tap(a.weight + k * a.channels + c);
#pragma unroll
    for (int i = 0; i < N; ++i) taps[k / 3][k % 3][i] = tap.values[i];
  }
  float bias[kParts][N], scale[kParts][N];
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const Constants<N> own(a.bias + part * a.channels + c),
        band(kBands ? a.bands.row(b) + part * a.channels + c : nullptr, 1.0f);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      bias[part][i] = own.values[i];
      scale[part][i] = band.values[i];
    }
  }
  const Constants<N> style(a.style.row(b) + c);

  const int first = top / kScale - 1, last = (top + a.rows) / kScale, column = left / kScale - 1;
  float sums[kScale + 2][kColumns][N] = {};  // of the rows of the output that a row of x reaches
  Pixel<From, N, kBands> now[kReach], next[kReach];
#pragma unroll
  for (int k = 0; k < kReach; ++k) {
    if (first >= 0 && column + k >= 0 && column + k < width) {
      load_pixel<From, N, kBands>(now[k], x, a.noise, int64_t(first) * width + column + k, a.channels);
    }
  }
  for (int row = first; row <= last; ++row) {
    if (row < last && row + 1 < height) {
#pragma unroll
      for (int k = 0; k < kReach; ++k) {
        if (column + k >= 0 && column + k < width) {
          load_pixel<From, N, kBands>(next[k], x, a.noise, int64_t(row + 1) * width + column + k, a.channels);
        }
      }
    }
    if (row >= 0 && row < height) {
#pragma unroll
      for (int k = 0; k < kReach; ++k) {
        if (column + k < 0 || column + k >= width) continue;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          float value[kParts];
#pragma unroll
          for (int part = 0; part < kParts; ++part) {
            value[part] = finish(static_cast<float>(now[k].parts[part].values[i]), now[k].noise, bias[part][i]);
          }
          if constexpr (kBands) {
#pragma unroll
            for (int part = 0; part < kParts; ++part) value[part] *= scale[part][i];
#pragma unroll
            for (int side = 0; side < 2; ++side) {
              const int m = 2 * k - 1 + side;
              if (m < 0 || m > 3) continue;
              const HaarColumn pair(value[0], value[1], value[2], value[3], side == 1);
              spread<N>(sums, taps, m, i, pair.upper);
              spread<N>(sums + 1, taps, m, i, pair.lower);
            }
          } else {
            spread<N>(sums, taps, k, i, value[0]);
          }
        }
      }
    }
#pragma unroll
    for (int done = 0; done < kScale; ++done) {
      const int to = row * kScale - 1 + done;
      if (to < top || to >= top + a.rows || to >= a.height) continue;
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        if (left + j >= a.width) continue;
        Pack<To, N> pack;
#pragma unroll
        for (int i = 0; i < N; ++i) pack.values[i] = static_cast<To>(sums[done][j][i] * style.values[i]);
        store_pack<To, N>(y + (int64_t(to) * a.width + left + j) * a.channels, pack);
      }
    }
#pragma unroll
    for (int k = 0; k < kScale + 2; ++k) {
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
#pragma unroll
        for (int i = 0; i < N; ++i) sums[k][j][i] = k < 2 ? sums[k + kScale][j][i] : 0.0f;
      }
    }
#pragma unroll
    for (int k = 0; k < kReach; ++k) now[k] = next[k];
  }
}

template <typename From, typename To, int N, bool kBands>
void launch(Arguments<From, To> a, int64_t batch, cudaStream_t stream) {
  const int64_t packs = (a.channels + N - 1) / N, columns = (a.width + kColumns - 1) / kColumns;
  a.lanes = 1;
  while (a.lanes < kWarp && a.lanes < packs) a.lanes *= 2;
  a.rows = kMostRows;
  while (a.rows > (kBands ? 2 : 1) && batch * packs * columns * a.height < kEnoughThreads * a.rows) a.rows /= 2;
  const int64_t chunks = (packs + a.lanes - 1) / a.lanes, across = kThreads / a.lanes;
  const int64_t tiles = (columns + across - 1) / across * ((a.height + a.rows - 1) / a.rows);
  STD_TORCH_CHECK(chunks * tiles < (int64_t{1} << 31), "depthwise_layer: the pictures are too large");
  const dim3 blocks(static_cast<unsigned>(chunks * tiles), static_cast<unsigned>(batch));
  STYLERIG_LAUNCH((layer_kernel<From, To, N, kBands>), blocks, kThreads, stream, a);
}

// Channels at a time: with bands a thread holds four times as many values.
template <typename From, typename To, bool kBands>
void launch_packs(const Arguments<From, To>& a, int64_t batch, cudaStream_t stream) {
  constexpr int kPack = kBands ? 2 : 4;
  if (a.channels % kPack == 0 && aligned(a.x, sizeof(From) * kPack) && aligned(a.y, sizeof(To) * kPack) &&
      aligned(a.bias, 16) && aligned(a.weight, 16) && aligned(a.style, batch) && aligned(a.bands, batch)) {
    launch<From, To, kPack, kBands>(a, batch, stream);
  } else {
    launch<From, To, 1, kBands>(a, batch, stream);
  }
}

void depthwise_layer(const Tensor& x, const std::optional<Tensor>& noise, const Tensor& bias,
                     const std::optional<Tensor>& bands, const Tensor& weight, const Tensor& style, const Tensor& out) {
  const char* op = "depthwise_layer";
  const int64_t scale = bands.has_value() ? 2 : 1, batch = x.size(0), height = x.size(1), width = x.size(2);
  const int64_t channels = x.size(3) / (scale * scale);
  check(op, "x", x, {batch, height, width, scale * scale * channels});
  check(op, "bias", bias, {scale * scale * channels});
  check(op, "weight", weight, {3, 3, channels});
  check(op, "out", out, {batch, scale * height, scale * width, channels});
  if (noise.has_value()) check(op, "noise", *noise, {height, width});
  STD_TORCH_CHECK(batch < 65536 && channels < (1 << 24) && height < (1 << 20) && width < (1 << 20), op,
                  ": the batch or the pictures are too large");
  const Channelwise styles = channelwise(op, "style", style, batch, channels);
  const Channelwise scales = channelwise(op, "bands", bands, batch, 4 * channels);
  if (out.numel() == 0) return;
  const OnDevice on(x);
  const auto run = [&](auto from, auto to) {
    using From = decltype(from);
    using To = decltype(to);
    const Arguments<From, To> a = {static_cast<int>(scale * height),
                                   static_cast<int>(scale * width),
                                   static_cast<int>(channels),
                                   x.const_data_ptr<From>(),
                                   pointer_or_null<float>(noise),
                                   bias.const_data_ptr<float>(),
                                   scales,
                                   weight.const_data_ptr<float>(),
                                   styles,
                                   out.mutable_data_ptr<To>(),
                                   1,
                                   1};
    if (bands.has_value()) {
      launch_packs<From, To, true>(a, batch, on.stream());
    } else {
      launch_packs<From, To, false>(a, batch, on.stream());
    }
  };
  dispatch_precision(op, x, [&](auto from) {
    if constexpr (std::is_same_v<decltype(from), float>) {
      dispatch_precision(op, out, [&](auto to) { run(from, to); });
    } else {
      run(from, from);
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("depthwise_layer", TORCH_BOX(&stylerig::depthwise_layer)); }
