// depthwise_layer and picture_layer: what ends a layer of MobileStyleGAN, for one value, and the inverse Haar
// transform. Spec: stylerig_fast/ops/reference/depthwise_layer.py.
#pragma once

#include <cmath>

#include "common/host_device.h"

namespace stylerig {

constexpr float kLayerSlope = 0.2f;  // of the leaky ReLU

// NaN stays: both arguments of the maximum are.
STYLERIG_HD float finish(float x, float noise, float bias) {
  x = x + noise + bias;
  return fmaxf(x, kLayerSlope * x);
}

// Bands of a pixel to the four pixels that it becomes: upper left, upper right, lower left, lower right.
STYLERIG_HD void haar(float (&values)[4]) {
  const float upper_low = values[0] + values[1], lower_low = values[0] - values[1];
  const float upper_high = values[2] + values[3], lower_high = values[2] - values[3];
  values[0] = upper_low + upper_high;
  values[1] = upper_low - upper_high;
  values[2] = lower_low + lower_high;
  values[3] = lower_low - lower_high;
}

}  // namespace stylerig
