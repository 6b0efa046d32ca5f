// picture_layer on CUDA. A few lanes of a warp share a pixel, some of its channels each. They add up twelve sums, the
// colours of four pixels, by halves: each exchange leaves a lane half as many, until it holds one pixel's colours.
#include "common/cuda.h"
#include "depthwise_layer/depthwise_layer.h"
#include "styled_epilogue/styled_epilogue.h"
#include "styled_epilogue/styled_epilogue_packs.cuh"

namespace stylerig {
namespace {

constexpr int kThreads = 128, kWarp = 32;
constexpr int kPixels = 4;  // per lane and turn

template <typename T>
struct Arguments {
  int height, width, channels;
  const T* x;               // [B, H, W, C]
  const float* noise;       // [H, W] or null
  const float* bias;        // [C]
  Channelwise style;        // [B, C]
  const float* weight;      // [12, C] or [3, C]
  const float* final_bias;  // [12] or [3]
  int lanes;                // that share a pixel: a power of two up to a warp, four at least
};

// The sums of the lanes that differ in the bit `offset`; the lane without that bit keeps the first half of them.
template <int kCount>
__device__ __forceinline__ void halve(float* sums, int offset) {
  const bool second = threadIdx.x & offset;
#pragma unroll
  for (int k = 0; k < kCount; ++k) {
    const float kept = second ? sums[k + kCount] : sums[k], given = second ? sums[k] : sums[k + kCount];
    sums[k] = kept + __shfl_xor_sync(0xffffffffu, given, offset);
  }
}

template <typename T, int N, int kOutputs, typename Colour>
__global__ void __launch_bounds__(kThreads, 4)
    picture_kernel(Arguments<T> a, Colour* __restrict__ picture) {  // [B, 2 H, 2 W, 3], or [B, H, W, 3] of 3 outputs
  constexpr bool kFour = kOutputs == 12;
  const int64_t b = blockIdx.y, count = int64_t(a.height) * a.width;
  const int groups = a.channels / N, lane = threadIdx.x % a.lanes, together = kThreads / a.lanes;
  const T* sample = a.x + b * count * a.channels;
  // Every lane of a warp takes every turn: they exchange sums.
  for (int64_t start = int64_t(blockIdx.x) * together * kPixels; start < count;
       start += int64_t(gridDim.x) * together * kPixels) {
    const int64_t first = start + threadIdx.x / a.lanes;
    float sums[kPixels][kOutputs] = {};
    for (int group = lane; group < groups; group += a.lanes) {
      const int c = group * N;
      Pack<T, N> packs[kPixels];
      float noise[kPixels];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        // Beyond the last pixel the last one once more: its sums go nowhere.
        const int64_t pixel = smaller(first + p * together, count - 1);
        packs[p] = load_pack<T, N>(sample + pixel * a.channels + c);
        noise[p] = a.noise == nullptr ? 0.0f : a.noise[pixel];
      }
      const Constants<N> bias(a.bias + c), style(a.style.row(b) + c);
      float values[kPixels][N];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const float x = static_cast<float>(packs[p].values[i]);
          values[p][i] = finish(x, noise[p], bias.values[i]) * style.values[i];
        }
      }
#pragma unroll
      for (int k = 0; k < kOutputs; ++k) {
        const Constants<N> weight(a.weight + k * a.channels + c);
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
#pragma unroll
          for (int i = 0; i < N; ++i) sums[p][k] += values[p][i] * weight.values[i];
        }
      }
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      if constexpr (kFour) {
        halve<6>(sums[p], 1);
        halve<3>(sums[p], 2);
      }
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        for (int offset = kFour ? 4 : 1; offset < a.lanes; offset *= 2) {
          sums[p][k] += __shfl_xor_sync(0xffffffffu, sums[p][k], offset);
        }
      }
      const int64_t pixel = first + p * together;
      // All lanes have the colours, or all with the same two lowest bits; they take turns in writing them.
      constexpr int kHolders = kFour ? 4 : 1;
      if (pixel >= count || lane / kHolders != p % (a.lanes / kHolders)) continue;
      int64_t to = b * count + pixel;
      const int lower = lane & 1, right = lane >> 1 & 1;
      if constexpr (kFour) {
        const int64_t row = 2 * (b * a.height + pixel / a.width) + lower;
        to = row * 2 * a.width + 2 * (pixel % a.width) + right;
      }
#pragma unroll
      for (int k = 0; k < 3; ++k) {
        write_colour(picture + 3 * to + k, sums[p][k] + a.final_bias[kFour ? 6 * lower + 3 * right + k : k]);
      }
    }
  }
}

template <typename T, int N, int kOutputs>
void launch(Arguments<T> a, int64_t batch, const Tensor& picture, cudaStream_t stream) {
  a.lanes = 4;
  while (a.lanes < kWarp && a.lanes * N < a.channels) a.lanes *= 2;
  const int together = kThreads / a.lanes;
  const dim3 blocks(blocks_for(int64_t(a.height) * a.width, together * kPixels), static_cast<unsigned>(batch));
  if (picture.scalar_type() == ScalarType::Byte) {
    STYLERIG_LAUNCH((picture_kernel<T, N, kOutputs, uint8_t>), blocks, kThreads, stream, a,
                    picture.mutable_data_ptr<uint8_t>());
  } else {
    STYLERIG_LAUNCH((picture_kernel<T, N, kOutputs, float>), blocks, kThreads, stream, a,
                    picture.mutable_data_ptr<float>());
  }
}

template <typename T, int N>
void launch_outputs(const Arguments<T>& a, int64_t outputs, int64_t batch, const Tensor& picture, cudaStream_t stream) {
  if (outputs == 12) {
    launch<T, N, 12>(a, batch, picture, stream);
  } else {
    launch<T, N, 3>(a, batch, picture, stream);
  }
}

void picture_layer(const Tensor& x, const std::optional<Tensor>& noise, const Tensor& bias, const Tensor& style,
                   const Tensor& weight, const Tensor& final_bias, const Tensor& picture) {
  const char* op = "picture_layer";
  const int64_t batch = x.size(0), height = x.size(1), width = x.size(2), channels = x.size(3);
  const int64_t outputs = weight.size(0), scale = outputs == 12 ? 2 : 1;
  STD_TORCH_CHECK(outputs == 12 || outputs == 3, op, ": weight has neither 12 nor 3 rows");
  STD_TORCH_CHECK(channels > 0, op, ": x has no channels");
  check(op, "x", x, {batch, height, width, channels});
  check(op, "bias", bias, {channels});
  check(op, "weight", weight, {outputs, channels});
  check(op, "final_bias", final_bias, {outputs});
  check(op, "picture", picture, {batch, scale * height, scale * width, 3});
  if (noise.has_value()) check(op, "noise", *noise, {height, width});
  STD_TORCH_CHECK(batch < 65536 && channels < (1 << 24) && height < (1 << 20) && width < (1 << 20), op,
                  ": the batch or the pictures are too large");
  const Channelwise styles = channelwise(op, "style", style, batch, channels);
  if (picture.numel() == 0) return;
  const OnDevice on(x);
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    constexpr int kPack = 4;  // in any precision: more would not fit into the registers
    const Arguments<T> a = {static_cast<int>(height),
                            static_cast<int>(width),
                            static_cast<int>(channels),
                            x.const_data_ptr<T>(),
                            pointer_or_null<float>(noise),
                            bias.const_data_ptr<float>(),
                            styles,
                            weight.const_data_ptr<float>(),
                            final_bias.const_data_ptr<float>(),
                            4};
    if (channels % kPack == 0 && aligned(a.x, sizeof(T) * kPack) && aligned(a.bias, 16) && aligned(a.weight, 16) &&
        aligned(a.style, batch)) {
      launch_outputs<T, kPack>(a, outputs, batch, picture, on.stream());
    } else {
      launch_outputs<T, 1>(a, outputs, batch, picture, on.stream());
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("picture_layer", TORCH_BOX(&stylerig::picture_layer)); }
