// picture_layer on CUDA. A block finishes a run of pixels, a chunk of their channels at a time, and leaves them in
// shared memory; behind a barrier each of its threads multiplies the channels of two pixels by the weights, so that
// nobody has to exchange sums.
#include "common/cuda.h"
#include "depthwise_layer/depthwise_layer.h"
#include "depthwise_layer/depthwise_layer_packs.cuh"
#include "styled_epilogue/styled_epilogue.h"

namespace stylerig {
namespace {

constexpr int kThreads = 128, kSlots = kThreads / kLanes;
constexpr int kOwn = 2, kRun = kOwn * kThreads;  // pixels of a thread, of a block
constexpr int kStride = kLanes + 1;              // packs from pixel to pixel: neighbours are in other banks

template <typename T>
struct Arguments {
  int height, width, channels;
  const T* x;               // [B, H, W, C]
  const float* noise;       // [H, W] or null
  const float* bias;        // [C]
  Channelwise style;        // [B, C]
  const float* weight;      // [12, C] or [3, C]
  const float* final_bias;  // [12] or [3]
};

// Finishes a chunk of channels of the block's pixels.
template <typename T, bool kWhole>
__device__ __forceinline__ void fill(const Arguments<T>& a, const T* sample, int first, int chunk,
                                     Pack<float, kPack>* values) {
  constexpr int kAhead = kWhole ? 8 : 2;  // pixels on their way to a thread
  const int lane = threadIdx.x % kLanes, slot = threadIdx.x / kLanes;
  const int c = chunk + lane * kPack, count = a.height * a.width;
  if (c >= a.channels) return;  // nobody reads these
  const Pack<float, kPack> bias = load_channels<kWhole>(a.bias + c, a.channels - c);
#pragma unroll 1
  for (int turn = 0; turn < kRun / kSlots; turn += kAhead) {
    Pack<T, kPack> packs[kAhead];
    float noise[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      // Beyond the last pixel the last one once more: its colours go nowhere.
      const int pixel = smaller(first + slot + (turn + i) * kSlots, count - 1);
      packs[i] = load_channels<kWhole>(sample + (static_cast<unsigned>(pixel) * a.channels + c), a.channels - c);
      noise[i] = a.noise == nullptr ? 0.0f : a.noise[pixel];
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      Pack<float, kPack> made;
#pragma unroll
      for (int k = 0; k < kPack; ++k) {
        made.values[k] = finish(static_cast<float>(packs[i].values[k]), noise[i], bias.values[k]);
      }
      values[(slot + (turn + i) * kSlots) * kStride + lane] = made;
    }
  }
}

template <typename T, int kOutputs, bool kWhole, typename Colour>
__global__ void __launch_bounds__(kThreads, 5)
    picture_kernel(Arguments<T> a, Colour* __restrict__ picture) {  // [B, 2 H, 2 W, 3], or [B, H, W, 3] of 3 outputs
  __shared__ Pack<float, kPack> values[kRun * kStride], weights[kLanes * kOutputs];
  const int64_t b = blockIdx.y;
  const int first = static_cast<int>(blockIdx.x) * kRun, thread = threadIdx.x, count = a.height * a.width;
  float sums[kOwn][kOutputs] = {};
  for (int chunk = 0; chunk < a.channels; chunk += kChunk) {
    if (chunk > 0) __syncthreads();  // until nobody reads the last one any more
    if (thread < kLanes * kOutputs) {
      const int c = chunk + thread / kOutputs * kPack, left = a.channels - c;
      Pack<float, kPack> weight = {};
      if (left > 0) {
        weight = load_channels<kWhole>(a.weight + thread % kOutputs * a.channels + c, left);
        const Pack<float, kPack> style = load_channels<kWhole>(a.style.row(b) + c, left);
#pragma unroll
        for (int i = 0; i < kPack; ++i) weight.values[i] *= style.values[i];
      }
      weights[thread] = weight;
    }
    fill<T, kWhole>(a, a.x + b * count * a.channels, first, chunk, values);
    __syncthreads();
    const int groups = smaller(kLanes, (a.channels - chunk + kPack - 1) / kPack);
    for (int group = 0; group < groups; ++group) {
      Pack<float, kPack> own[kOwn];
#pragma unroll
      for (int p = 0; p < kOwn; ++p) own[p] = values[(thread + p * kThreads) * kStride + group];
#pragma unroll
      for (int k = 0; k < kOutputs; ++k) {
        const Pack<float, kPack> weight = weights[group * kOutputs + k];
#pragma unroll
        for (int p = 0; p < kOwn; ++p) {
#pragma unroll
          for (int i = 0; i < kPack; ++i) sums[p][k] += own[p].values[i] * weight.values[i];
        }
      }
    }
  }
#pragma unroll
  for (int p = 0; p < kOwn; ++p) {
    const int pixel = first + thread + p * kThreads;
    if (pixel >= count) return;
    // Of four pixels, those of a row are neighbours in memory.
    constexpr int kScale = kOutputs == 12 ? 2 : 1;
    const int row = pixel / a.width * kScale, column = pixel % a.width * kScale;
#pragma unroll
    for (int k = 0; k < kOutputs; ++k) {
      constexpr int kLine = 3 * kScale;
      const int64_t line = (b * a.height * kScale + row + k / kLine) * a.width * kScale + column;
      write_colour(picture + 3 * line + k % kLine, sums[p][k] + a.final_bias[k]);
    }
  }
}

template <typename T, int kOutputs, bool kWhole>
void launch(const Arguments<T>& a, const Tensor& picture, cudaStream_t stream) {
  const dim3 blocks(blocks_for(int64_t(a.height) * a.width, kRun), static_cast<unsigned>(picture.size(0)));
  if (picture.scalar_type() == ScalarType::Byte) {
    STYLERIG_LAUNCH((picture_kernel<T, kOutputs, kWhole, uint8_t>), blocks, kThreads, stream, a,
                    picture.mutable_data_ptr<uint8_t>());
  } else {
    STYLERIG_LAUNCH((picture_kernel<T, kOutputs, kWhole, float>), blocks, kThreads, stream, a,
                    picture.mutable_data_ptr<float>());
  }
}

template <typename T, bool kWhole>
void launch_outputs(const Arguments<T>& a, int64_t outputs, const Tensor& picture, cudaStream_t stream) {
  if (outputs == 12) {
    launch<T, 12, kWhole>(a, picture, stream);
  } else {
    launch<T, 3, kWhole>(a, picture, stream);
  }
}

void picture_layer(const Tensor& x, const std::optional<Tensor>& noise, const Tensor& bias, const Tensor& style,
                   const Tensor& weight, const Tensor& final_bias, const Tensor& picture) {
  const char* op = "picture_layer";
  const int64_t batch = x.size(0), height = x.size(1), width = x.size(2), channels = x.size(3);
  const int64_t outputs = weight.size(0), scale = outputs == 12 ? 2 : 1;
  STD_TORCH_CHECK(outputs == 12 || outputs == 3, op, ": weight has neither 12 nor 3 rows");
  check(op, "x", x, {batch, height, width, channels});
  check(op, "bias", bias, {channels});
  check(op, "weight", weight, {outputs, channels});
  check(op, "final_bias", final_bias, {outputs});
  check(op, "picture", picture, {batch, scale * height, scale * width, 3});
  if (noise.has_value()) check(op, "noise", *noise, {height, width});
  // The values of a sample are counted in 32 bits, its batch by the rows of a grid; blocks do not loop.
  STD_TORCH_CHECK(
      batch < 65536 && height * width <= (int64_t{1} << 28) && height * width * channels < (int64_t{1} << 31), op,
      ": the batch or the pictures are too large");
  const Channelwise styles = channelwise(op, "style", style, batch, channels);
  if (picture.numel() == 0) return;
  const OnDevice on(x);
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    const Arguments<T> a = {static_cast<int>(height),
                            static_cast<int>(width),
                            static_cast<int>(channels),
                            x.const_data_ptr<T>(),
                            pointer_or_null<float>(noise),
                            bias.const_data_ptr<float>(),
                            styles,
                            weight.const_data_ptr<float>(),
                            final_bias.const_data_ptr<float>()};
    if (channels % kPack == 0 && aligned(a.x, sizeof(T) * kPack) && aligned(a.bias, 16) && aligned(a.weight, 16) &&
        aligned(a.style, batch)) {
      launch_outputs<T, true>(a, outputs, picture, on.stream());
    } else {
      launch_outputs<T, false>(a, outputs, picture, on.stream());
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("picture_layer", TORCH_BOX(&stylerig::picture_layer)); }
