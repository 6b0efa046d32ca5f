// upsample_filter on the CPU: for a row of the output four rows of the input are added up, then four pixels of that.
#include <vector>

#include "common/lanes.h"
#include "styled_epilogue/styled_epilogue_arguments.h"
#include "styled_epilogue/styled_epilogue_lanes.h"

namespace stylerig {
namespace {

// One row of the output.
template <typename T>
struct FilterRow {
  const T* rows[4];  // [W + 1, C] each: rows of the input
  float taps[4];     // of these rows
  int count;         // how many are inside
  float across[4];   // taps in the other direction
  const float* noise;
  int64_t width;
  float* line;  // [W + 3, padded channels], whose first and last pixel are zero
  T* y;         // [W, C]
};

template <typename T>
STYLERIG_HD void filter_row(const FilterRow<T>& row, const Channels& channels) {
  const int64_t count = channels.count, padded = channels.padded();
  for (int64_t i = 0; i <= row.width; ++i) {
    for (int64_t c = 0; c < count; c += kLanes) {
      Floats total = {}, value;
      for (int k = 0; k < row.count; ++k) {
        load(value, row.rows[k] + i * count + c, count - c);
        total += row.taps[k] * value;
      }
      store(row.line + (i + 1) * padded + c, total);
    }
  }
  for (int64_t i = 0; i < row.width; ++i) {
    const float noise = row.noise == nullptr ? 0.0f : row.noise[i];
    for (int64_t c = 0; c < count; c += kLanes) {
      Floats total = {}, value;
      for (int k = 0; k < 4; ++k) {
        load(value, row.line + (i + k) * padded + c);
        total += row.across[k] * value;
      }
      channels.activate(total, noise, c);
      channels.modulate(total, c);
      store(row.y + i * count + c, total, count - c);
    }
  }
}

#define STYLERIG_INSTANCES(T) \
  STYLERIG_CLONES void run_row(const FilterRow<T>& row, const Channels& channels) { filter_row<T>(row, channels); }
STYLERIG_INSTANCES(float)
STYLERIG_INSTANCES(BFloat16)
STYLERIG_INSTANCES(Half)
#undef STYLERIG_INSTANCES

void upsample_filter(const Tensor& x, const Tensor& taps, const Tensor& demodulation,
                     const std::optional<Tensor>& noise, const Tensor& bias, const std::optional<Tensor>& style,
                     double clamp, const Tensor& out) {
  const char* op = "upsample_filter";
  const int64_t batch = x.size(0), height = x.size(1) - 1, width = x.size(2) - 1, count = x.size(3);
  check(op, "x", x, {batch, height + 1, width + 1, count});
  check(op, "out", out, {batch, height, width, count});
  check(op, "taps", taps, {4});
  const Styled s = styled_arguments(op, batch, height, width, count, demodulation, noise, bias, style, clamp);
  if (batch * height * width * count == 0) return;
  const float* filter = taps.const_data_ptr<float>();
  dispatch_precision(op, x, [&](auto type) {
    using T = decltype(type);
    const T* from = x.const_data_ptr<T>();
    T* to = out.mutable_data_ptr<T>();
    for (int64_t b = 0; b < batch; ++b) {
      const ChannelTable table(s, b);
      const int64_t padded = table.channels.padded();
      const int64_t grain = larger<int64_t>(1, (1 << 15) / larger<int64_t>(1, width * count));
      parallel(height, grain, [&](int64_t begin, int64_t end) {
        std::vector<float> line((width + 3) * padded);
        for (int64_t y = begin; y < end; ++y) {
          FilterRow<T> row = {};
          for (int k = 0; k < 4; ++k) {  // a convolution, so the taps are flipped
            row.across[k] = filter[3 - k];
            if (y + k - 1 < 0 || y + k - 1 > height) continue;
            row.taps[row.count] = filter[3 - k];
            row.rows[row.count++] = from + (b * (height + 1) + y + k - 1) * (width + 1) * count;
          }
          row.noise = s.noise == nullptr ? nullptr : s.noise + y * width;
          row.width = width;
          row.line = line.data();
          row.y = to + (b * height + y) * width * count;
          run_row(row, table.channels);
        }
      });
    }
  });
}

}  // namespace
}  // namespace stylerig

STABLE_TORCH_LIBRARY_IMPL(stylerig, CPU, m) { m.impl("upsample_filter", TORCH_BOX(&stylerig::upsample_filter)); }
