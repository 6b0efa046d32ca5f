// mobile_synthesis for any processor: vectors of four floats, as GCC and clang have them everywhere.
#include <cmath>
#include <cstring>

#include "common/host_device.h"
#include "mobile_synthesis/mobile_synthesis.h"

namespace stylerig {
namespace mobile {
namespace {

struct Lanes {
  using V = float __attribute__((vector_size(16)));
  static constexpr int kWidth = 4, kPanel = 8, kRows = 4;
  static STYLERIG_HD V zero() { return V{}; }
  static STYLERIG_HD V all(float x) { return V{x, x, x, x}; }
  static STYLERIG_HD V load(const float* p) {
    V x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  static STYLERIG_HD void store(float* p, V x) { __builtin_memcpy(p, &x, sizeof(x)); }
  static STYLERIG_HD V add(V a, V b) { return a + b; }
  static STYLERIG_HD V sub(V a, V b) { return a - b; }
  static STYLERIG_HD V mul(V a, V b) { return a * b; }
  static STYLERIG_HD V max(V a, V b) { return a > b ? a : b; }
  static STYLERIG_HD V multiply_add(V a, V b, V c) { return a * b + c; }
  // Sixteen values from [-1, 1] to bytes, eight to each place; halves are rounded to even, like torch's round does. NaN
  // becomes 0.
  static STYLERIG_HD void store_bytes(uint8_t* low, uint8_t* high, const float* in) {
    for (int i = 0; i < 16; ++i) {
      const float x = (in[i] + 1.0f) * 127.5f;
      uint8_t* out = i < 8 ? low : high;
      out[i % 8] = static_cast<uint8_t>(std::lrintf(x > 0 ? (x < 255 ? x : 255.0f) : 0.0f));
    }
  }
};

// clang-format off: each needs those above
#include "mobile_synthesis/product.h"
#include "mobile_synthesis/float32.h"
#include "mobile_synthesis/picture.h"
#include "mobile_synthesis/chain.h"
#include "mobile_synthesis/variant.h"
// clang-format on

constexpr Kernels kKernels = Functions<Float32>::kernels();

}  // namespace

const Kernels* portable_kernels() { return &kKernels; }

}  // namespace mobile
}  // namespace stylerig
