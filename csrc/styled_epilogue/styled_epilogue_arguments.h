// What the CPU and the CUDA half of styled_epilogue read: checked tensors as pointers. Host code.
#pragma once

#include <optional>

#include "common/precision.h"

namespace stylerig {

// One value per channel and sample; rows may lie apart, so that a part of a wider table fits.
struct Channelwise {
  const float* data;  // [B, C]; null if there is none
  int64_t stride;
  STYLERIG_HD const float* row(int64_t b) const { return data == nullptr ? nullptr : data + b * stride; }
};

inline Channelwise channelwise(const char* op, const char* name, const std::optional<Tensor>& tensor, int64_t batch,
                               int64_t channels) {
  if (!tensor.has_value()) return {nullptr, 0};
  STD_TORCH_CHECK(tensor->dim() == 2 && tensor->size(0) == batch && tensor->size(1) == channels &&
                      (channels <= 1 || tensor->stride(1) == 1) && tensor->scalar_type() == ScalarType::Float,
                  op, ": ", name, " is no float32 (batch, channels)");
  return {tensor->const_data_ptr<float>(), tensor->stride(0)};
}

template <typename T>
const T* pointer_or_null(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr<T>() : nullptr;
}

// The part of the arguments that upsample_filter shares. `height` and `width` are those of the output.
struct Styled {
  int64_t batch, height, width, channels;
  Channelwise demodulation, style;
  const float* noise;  // [H, W] or null
  const float* bias;   // [C]
  float clamp;
};

inline Styled styled_arguments(const char* op, int64_t batch, int64_t height, int64_t width, int64_t channels,
                               const Tensor& demodulation, const std::optional<Tensor>& noise, const Tensor& bias,
                               const std::optional<Tensor>& style, double clamp) {
  if (noise.has_value()) check(op, "noise", *noise, {height, width});
  check(op, "bias", bias, {channels});
  return {batch,
          height,
          width,
          channels,
          channelwise(op, "demodulation", demodulation, batch, channels),
          channelwise(op, "style", style, batch, channels),
          pointer_or_null<float>(noise),
          bias.const_data_ptr<float>(),
          static_cast<float>(clamp)};
}

// The picture: a 1x1 convolution of the activations to three colours, on top of the doubled picture below.
struct Rgb {
  const float* weight;  // [B, 3, C], null if no picture is wanted; samples and rows may lie apart
  int64_t weight_batch, weight_row;
  const float* bias;  // [3]
  const float* skip;  // [B, H / 2, W / 2, 3] or null
  const float* taps;  // [4]
};

inline Rgb rgb_arguments(const Styled& s, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                         const std::optional<Tensor>& skip, const Tensor& taps, const std::optional<Tensor>& image) {
  const char* op = "styled_epilogue";
  check(op, "taps", taps, {4});
  STD_TORCH_CHECK(weight.has_value() == image.has_value() && weight.has_value() == bias.has_value(), op,
                  ": the weights and bias of the picture and where it goes belong together");
  if (!weight.has_value()) return {};
  STD_TORCH_CHECK(weight->dim() == 3 && weight->size(0) == s.batch && weight->size(1) == 3 &&
                      weight->size(2) == s.channels && (s.channels <= 1 || weight->stride(2) == 1) &&
                      weight->scalar_type() == ScalarType::Float,
                  op, ": the weights of the picture are no float32 (batch, 3, channels)");
  check(op, "the picture's bias", *bias, {3});
  check(op, "image", *image, {s.batch, s.height, s.width, 3});
  if (skip.has_value()) {
    STD_TORCH_CHECK(s.height % 2 == 0 && s.width % 2 == 0, op, ": a picture of odd size is no doubled one");
    check(op, "skip", *skip, {s.batch, s.height / 2, s.width / 2, 3});
  }
  return {
      weight->const_data_ptr<float>(), weight->stride(0),           weight->stride(1), bias->const_data_ptr<float>(),
      pointer_or_null<float>(skip),    taps.const_data_ptr<float>()};
}

}  // namespace stylerig
