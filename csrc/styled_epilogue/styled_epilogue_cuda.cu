// styled_epilogue on CUDA. A few lanes of a warp share a pixel, sixteen bytes of its channels each, and make its
// colours together; they hold the constants of these channels while they go through several pixels. What bounds the
// kernel is reading and writing the activations once.
#include "common/cuda.h"
#include "styled_epilogue/styled_epilogue.h"
#include "styled_epilogue/styled_epilogue_arguments.h"
#include "styled_epilogue/styled_epilogue_packs.cuh"

namespace stylerig {
namespace {

constexpr int kThreads = 128, kWarp = 32;
constexpr int kPixels = 4;  // per lane and turn

template <typename T>
struct Arguments {
  Styled s;
  Rgb rgb;
  const T* x;  // [B, H, W, C]
  T* y;        // as x, or null
  int lanes;   // that share a pixel: a power of two up to a warp
};

// The value of colour `k` in the doubled picture below.
__device__ __forceinline__ float doubled(const float* __restrict__ skip,  // [height, width, 3]
                                         int height, int width, const Doubled& down, const Doubled& across, int k) {
  float total = 0.0f;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int y = down.first + i;
    if (y < 0 || y >= height) continue;
    float line = 0.0f;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int x = across.first + j;
      if (x < 0 || x >= width) continue;
      line += (j == 0 ? across.weight0 : across.weight1) * skip[3 * (int64_t(y) * width + x) + k];
    }
    total += (i == 0 ? down.weight0 : down.weight1) * line;
  }
  return total;
}

template <typename T, typename Colour>
__device__ __forceinline__ void paint(const Arguments<T>& a, int64_t b, int pixel, const float* sums,
                                      Colour* __restrict__ image) {  // [B, H, W, 3]
  const int width = static_cast<int>(a.s.width), height = static_cast<int>(a.s.height);
  const Doubled down(pixel / width, a.rgb.taps), across(pixel % width, a.rgb.taps);
  const float* skip = a.rgb.skip == nullptr ? nullptr : a.rgb.skip + b * 3 * (height / 2) * int64_t(width / 2);
  Colour* to = image + 3 * (b * a.s.height * a.s.width + pixel);
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    float colour = cut_off(sums[k] + a.rgb.bias[k], a.s.clamp);
    if (skip != nullptr) colour += doubled(skip, height / 2, width / 2, down, across, k);
    write_colour(to + k, colour);
  }
}

// Whether the weights of the picture can be read in packs of four.
bool weights_fit(const Rgb& rgb, int64_t batch) {
  return aligned(rgb.weight, 16) && rgb.weight_row % 4 == 0 && (batch <= 1 || rgb.weight_batch % 4 == 0);
}

template <typename T, int N, bool kPicture, typename Colour>
__global__ void __launch_bounds__(kThreads, 4) epilogue_kernel(Arguments<T> a, Colour* __restrict__ image) {
  const int64_t b = blockIdx.y;
  const int channels = static_cast<int>(a.s.channels), count = static_cast<int>(a.s.height * a.s.width);
  const int groups = channels / N, lane = threadIdx.x % a.lanes;
  const int together = kThreads / a.lanes;  // pixels that a block treats at a time
  const int64_t sample = b * a.s.height * a.s.width * a.s.channels;
  const float *demodulation = a.s.demodulation.row(b), *style = a.s.style.row(b);
  const float* weights = kPicture ? a.rgb.weight + b * a.rgb.weight_batch : nullptr;
  // Every lane of a warp takes every turn: they exchange sums.
  for (int64_t start = int64_t(blockIdx.x) * together * kPixels; start < count;
       start += int64_t(gridDim.x) * together * kPixels) {
    const int64_t first = start + threadIdx.x / a.lanes;
    float sums[kPixels][3] = {};
    for (int group = lane; group < groups; group += a.lanes) {
      const int c = group * N;
      Pack<T, N> packs[kPixels];
      float noise[kPixels];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int64_t pixel = first + p * together;
        noise[p] = 0.0f;
        if (pixel < count) {
          packs[p] = load_pack<T, N>(a.x + sample + pixel * channels + c);
          if (a.s.noise != nullptr) noise[p] = a.s.noise[pixel];
        }
      }
      constexpr int kPart = N % 4 == 0 ? 4 : 1;  // the tables of more channels would not fit into the registers
#pragma unroll
      for (int part = 0; part < N; part += kPart) {
        const int at = c + part;
        const Constants<kPart> factors(demodulation + at), biases(a.s.bias + at),
            nexts(style == nullptr ? nullptr : style + at, 1.0f);
        const Constants<kPart> red(kPicture ? weights + at : nullptr),
            green(kPicture ? weights + a.rgb.weight_row + at : nullptr),
            blue(kPicture ? weights + 2 * a.rgb.weight_row + at : nullptr);
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
          if (first + p * together >= count) continue;  // that pack was not read
#pragma unroll
          for (int i = 0; i < kPart; ++i) {
            T& entry = packs[p].values[part + i];
            const float value =
                activate(static_cast<float>(entry), factors.values[i], noise[p], biases.values[i], a.s.clamp);
            sums[p][0] += value * red.values[i];
            sums[p][1] += value * green.values[i];
            sums[p][2] += value * blue.values[i];
            entry = static_cast<T>(value * nexts.values[i]);
          }
        }
      }
      if (a.y == nullptr) continue;
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int64_t pixel = first + p * together;
        if (pixel < count) store_pack<T, N>(a.y + sample + pixel * channels + c, packs[p]);
      }
    }
    if constexpr (kPicture) {
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
#pragma unroll
        for (int k = 0; k < 3; ++k) {
          for (int offset = a.lanes / 2; offset > 0; offset /= 2) {
            sums[p][k] += __shfl_xor_sync(0xffffffffu, sums[p][k], offset);
          }
        }
        const int64_t pixel = first + p * together;
        if (pixel < count && lane == p % a.lanes) paint(a, b, static_cast<int>(pixel), sums[p], image);
      }
    }
  }
}

template <typename T, int N>
void launch(Arguments<T> a, const std::optional<Tensor>& image, cudaStream_t stream) {
  a.lanes = 1;
  while (a.lanes < kWarp && a.lanes * N < a.s.channels) a.lanes *= 2;
  const int together = kThreads / a.lanes;
  const dim3 blocks(blocks_for(a.s.height * a.s.width, together * kPixels), static_cast<unsigned>(a.s.batch));
  if (!image.has_value()) {
    STYLERIG_LAUNCH((epilogue_kernel<T, N, false, float>), blocks, kThreads, stream, a, static_cast<float*>(nullptr));
  } else if (image->scalar_type() == ScalarType::Byte) {
    STYLERIG_LAUNCH((epilogue_kernel<T, N, true, uint8_t>), blocks, kThreads, stream, a,
                    image->mutable_data_ptr<uint8_t>());
  } else {
    STYLERIG_LAUNCH((epilogue_kernel<T, N, true, float>), blocks, kThreads, stream, a,
                    image->mutable_data_ptr<float>());
  }
}

void styled_epilogue(const Tensor& x, const Tensor& demodulation, const std::optional<Tensor>& noise,
                     const Tensor& bias, const std::optional<Tensor>& style, const std::optional<Tensor>& rgb_weight,
                     const std::optional<Tensor>& rgb_bias, const std::optional<Tensor>& skip, const Tensor& taps,
                     double clamp, const std::optional<Tensor>& out, const std::optional<Tensor>& image) {
  const char* op = "styled_epilogue";
  const int64_t batch = x.size(0), height = x.size(1), width = x.size(2), count = x.size(3);
  check(op, "x", x, {batch, height, width, count});
  const Styled s = styled_arguments(op, batch, height, width, count, demodulation, noise, bias, style, clamp);
  const Rgb rgb = rgb_arguments(s, rgb_weight, rgb_bias, skip, taps, image);
  if (out.has_value()) check(op, "out", *out, {batch, height, width, count});
  check_sizes(op, s);
  STD_TORCH_CHECK(count > 0, op, ": x has no channels");
  if (batch * height * width == 0) return;
  const OnDevice on(x);
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    constexpr int kPack = 16 / sizeof(T);
    const Arguments<T> a = {s, rgb, x.const_data_ptr<T>(), out.has_value() ? out->mutable_data_ptr<T>() : nullptr, 1};
    if (fits_packs<T, kPack>(s, a.x, a.y) && weights_fit(rgb, batch)) {
      launch<T, kPack>(a, image, on.stream());
    } else {
      launch<T, 1>(a, image, on.stream());
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("styled_epilogue", TORCH_BOX(&stylerig::styled_epilogue)); }
