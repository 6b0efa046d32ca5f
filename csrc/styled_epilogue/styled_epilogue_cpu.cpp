// styled_epilogue on the CPU: row by row of pixels, sixteen channels at a time.
#include "styled_epilogue/styled_epilogue.h"

#include <vector>

#include "common/lanes.h"
#include "styled_epilogue/styled_epilogue_arguments.h"
#include "styled_epilogue/styled_epilogue_lanes.h"

namespace stylerig {
namespace {

// One row of pixels.
template <typename T>
struct Row {
  const T* x;          // [W, C]
  T* y;                // [W, C] or null; may be x
  const float* noise;  // [W] or null
  int64_t width;
  const float* rgb_weight;  // [3, padded channels] or null
  float* rgb;               // [W, 3]: the picture below, doubled, to be added to
  const float* rgb_bias;    // [3]
};

STYLERIG_HD float sum(const Floats& values) {
  float part[kLanes];
  std::memcpy(part, &values, sizeof(part));
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
}

template <typename T>
STYLERIG_HD void style_row(const Row<T>& row, const Channels& channels) {
  const int64_t count = channels.count, padded = channels.padded();
  for (int64_t i = 0; i < row.width; ++i) {
    const float noise = row.noise == nullptr ? 0.0f : row.noise[i];
    Floats red = {}, green = {}, blue = {};
    for (int64_t c = 0; c < count; c += kLanes) {
      Floats value, weight;
      load(value, row.x + i * count + c, count - c);
      channels.activate(value, noise, c);
      if (row.rgb_weight != nullptr) {
        load(weight, row.rgb_weight + c);
        red += value * weight;
        load(weight, row.rgb_weight + padded + c);
        green += value * weight;
        load(weight, row.rgb_weight + 2 * padded + c);
        blue += value * weight;
      }
      if (row.y != nullptr) {
        channels.modulate(value, c);
        store(row.y + i * count + c, value, count - c);
      }
    }
    if (row.rgb_weight == nullptr) continue;
    const float colours[3] = {sum(red), sum(green), sum(blue)};
    for (int k = 0; k < 3; ++k) row.rgb[3 * i + k] += cut_off(colours[k] + row.rgb_bias[k], channels.clamp);
  }
}

#define STYLERIG_INSTANCES(T) \
  STYLERIG_CLONES void run_row(const Row<T>& row, const Channels& channels) { style_row<T>(row, channels); }
STYLERIG_INSTANCES(float)
STYLERIG_INSTANCES(BFloat16)
STYLERIG_INSTANCES(Half)
#undef STYLERIG_INSTANCES

// Row y of the doubled picture.
STYLERIG_CLONES void double_row(const float* skip, int64_t height,
                                int64_t width,  // [height, width, 3]: the picture below
                                int64_t y, const float* taps, float* STYLERIG_RESTRICT line,  // [width + 2, 3]
                                float* STYLERIG_RESTRICT out) {                               // [2 width, 3]
  const Doubled vertical(static_cast<int>(y), taps);
  for (int64_t i = 0; i < 3 * (width + 2); ++i) line[i] = 0;
  for (int k = 0; k < 2; ++k) {
    const int64_t row = vertical.first + k;
    if (row < 0 || row >= height) continue;
    const float weight = k == 0 ? vertical.weight0 : vertical.weight1;
    for (int64_t i = 0; i < 3 * width; ++i) line[3 + i] += weight * skip[3 * row * width + i];
  }
  for (int64_t x = 0; x < width; ++x) {
    for (int k = 0; k < 3; ++k) {
      const float *left = line + 3 * x + k, *here = left + 3, *right = here + 3;
      out[6 * x + k] = *left * taps[3] + *here * taps[1];
      out[6 * x + 3 + k] = *here * taps[2] + *right * taps[0];
    }
  }
}

STYLERIG_CLONES void write_bytes(const float* colours, int64_t count, uint8_t* STYLERIG_RESTRICT out) {
  for (int64_t i = 0; i < count; ++i) out[i] = to_byte(colours[i]);
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
  STD_TORCH_CHECK(count > 0, op, ": x has no channels");
  if (batch * height * width == 0) return;
  const bool bytes = image.has_value() && image->scalar_type() == ScalarType::Byte;
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = out.has_value() ? out->mutable_data_ptr<T>() : nullptr;
    float* floats = image.has_value() && !bytes ? image->mutable_data_ptr<float>() : nullptr;
    uint8_t* pixels = bytes ? image->mutable_data_ptr<uint8_t>() : nullptr;
    for (int64_t b = 0; b < batch; ++b) {
      const ChannelTable table(s, b);
      std::vector<float> weights;
      if (rgb.weight != nullptr) {
        weights.resize(3 * table.channels.padded());
        for (int k = 0; k < 3; ++k) {
          const float* row = rgb.weight + b * rgb.weight_batch + k * rgb.weight_row;
          std::memcpy(weights.data() + k * table.channels.padded(), row, sizeof(float) * count);
        }
      }
      const int64_t grain = larger<int64_t>(1, (1 << 15) / larger<int64_t>(1, width * count));
      parallel(height, grain, [&](int64_t begin, int64_t end) {
        std::vector<float> colours(rgb.weight != nullptr ? 3 * width : 0), line(rgb.skip ? 3 * (width / 2 + 2) : 0);
        for (int64_t y = begin; y < end; ++y) {
          const int64_t at = (b * height + y) * width;
          float* colour = floats == nullptr ? colours.data() : floats + 3 * at;
          if (rgb.skip != nullptr) {
            double_row(rgb.skip + 3 * b * (height / 2) * (width / 2), height / 2, width / 2, y, rgb.taps, line.data(),
                       colour);
          } else if (rgb.weight != nullptr) {
            std::memset(colour, 0, sizeof(float) * 3 * width);
          }
          const Row<T> row = {from + at * count,
                              to == nullptr ? nullptr : to + at * count,
                              s.noise == nullptr ? nullptr : s.noise + y * width,
                              width,
                              rgb.weight == nullptr ? nullptr : weights.data(),
                              colour,
                              rgb.bias};
          run_row(row, table.channels);
          if (pixels != nullptr) write_bytes(colour, 3 * width, pixels + 3 * at);
        }
      });
    }
  });
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) { m.impl("styled_epilogue", TORCH_BOX(&stylerig::styled_epilogue)); }
