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

// The left or the right column of the four pixels that a pixel of bands becomes.
struct HaarColumn {
  float upper, lower;
  STYLERIG_HD HaarColumn(float low, float rows, float columns, float both, bool right) {
    const float upper_high = columns + both, lower_high = columns - both;
    upper = right ? (low + rows) - upper_high : (low + rows) + upper_high;
    lower = right ? (low - rows) - lower_high : (low - rows) + lower_high;
  }
};

}  // namespace stylerig
