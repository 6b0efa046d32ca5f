// styled_epilogue: what stands between two convolutions of StyleGAN2, for one value, and the picture's upsampling.
// Spec: stylerig_fast/ops/reference/styled_epilogue.py.
#pragma once

#include <cmath>

#include "common/host_device.h"

namespace stylerig {

constexpr float kSlope = 0.2f;  // of the leaky ReLU

// Cut off at both ends; NaN stays.
STYLERIG_HD float cut_off(float x, float limit) { return x > limit ? limit : (x < -limit ? -limit : x); }

STYLERIG_HD float activate(float x, float demodulation, float noise, float bias, float clamp) {
  x = x * demodulation + noise + bias;
  return cut_off(x > 0 ? x : kSlope * x, clamp);
}

// From [-1, 1]; halves to even, NaN is 0.
STYLERIG_HD uint8_t to_byte(float x) {
  x = (x + 1.0f) * 127.5f;
  return static_cast<uint8_t>(rintf(x > 0 ? (x < 255.0f ? x : 255.0f) : 0.0f));
}

STYLERIG_HD void write_colour(float* to, float x) { *to = x; }
STYLERIG_HD void write_colour(uint8_t* to, float x) { *to = to_byte(x); }

// Doubling a resolution with a filter of four taps: output `o` is `weight0` times input `first` plus `weight1` times
// the next one, in each direction; inputs outside are zero.
struct Doubled {
  int first;
  float weight0, weight1;
  STYLERIG_HD Doubled(int o, const float* taps)  // [4], not flipped
      : first((o + 1) / 2 - 1), weight0(o % 2 ? taps[2] : taps[3]), weight1(o % 2 ? taps[0] : taps[1]) {}
};

}  // namespace stylerig
