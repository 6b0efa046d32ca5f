// styled_epilogue for sixteen channels of a pixel on the CPU; upsample_filter ends with it too.
#pragma once

#include <vector>

#include "common/lanes.h"
#include "styled_epilogue/styled_epilogue.h"
#include "styled_epilogue/styled_epilogue_arguments.h"

namespace stylerig {

// What is constant over the pixels of a sample.
struct Channels {
  const float *demodulation, *bias, *style;  // padded to whole vectors
  int64_t count;
  float clamp;

  STYLERIG_HD int64_t padded() const { return (count + kLanes - 1) / kLanes * kLanes; }

  STYLERIG_HD void activate(Floats& value, float noise, int64_t c) const {
    Floats factor, offset;
    load(factor, demodulation + c);
    load(offset, bias + c);
    value = value * factor + noise + offset;
    value = value > 0 ? value : kSlope * value;
    const Floats limit = Floats{} + clamp;
    value = value > limit ? limit : value;
    value = value < -limit ? -limit : value;
  }

  STYLERIG_HD void modulate(Floats& value, int64_t c) const {
    Floats factor;
    load(factor, style + c);
    value *= factor;
  }
};

// Their memory.
struct ChannelTable {
  std::vector<float> values;
  Channels channels;

  ChannelTable(const Styled& s, int64_t b) : channels{nullptr, nullptr, nullptr, s.channels, s.clamp} {
    const int64_t padded = channels.padded();
    values.resize(3 * padded, 1.0f);
    const auto put = [&](int64_t i, const float* from) {
      if (from != nullptr) std::memcpy(values.data() + i * padded, from, sizeof(float) * s.channels);
      return values.data() + i * padded;
    };
    channels.demodulation = put(0, s.demodulation.row(b));
    channels.bias = put(1, s.bias);
    channels.style = put(2, s.style.row(b));
  }
};

}  // namespace stylerig
