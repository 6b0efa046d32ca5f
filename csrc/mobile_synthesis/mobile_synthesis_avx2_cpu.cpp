// mobile_synthesis for AVX2 and FMA: 16 registers of 8 floats, of which 12 hold a tile of 6 pixels x 16 channels.
#include <cstring>

#include "common/host_device.h"
#include "mobile_synthesis/mobile_synthesis.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace stylerig {
namespace mobile {
namespace {

struct Lanes {
  using V = __m256;
  static constexpr int kWidth = 8, kPanel = 16, kRows = 6;
  static STYLERIG_HD V zero() { return _mm256_setzero_ps(); }
  static STYLERIG_HD V all(float x) { return _mm256_set1_ps(x); }
  static STYLERIG_HD V load(const float* p) { return _mm256_loadu_ps(p); }
  static STYLERIG_HD void store(float* p, V x) { _mm256_storeu_ps(p, x); }
  static STYLERIG_HD V add(V a, V b) { return _mm256_add_ps(a, b); }
  static STYLERIG_HD V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static STYLERIG_HD V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static STYLERIG_HD V max(V a, V b) { return _mm256_max_ps(a, b); }
  static STYLERIG_HD V multiply_add(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  // Sixteen values from [-1, 1] to bytes, eight to each place; halves are rounded to even, like torch's round does.
  static STYLERIG_HD void store_bytes(uint8_t* low, uint8_t* high, const float* in) {
    for (int half = 0; half < 2; ++half) {
      const V x = mul(add(load(in + 8 * half), all(1.0f)), all(127.5f));
      const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(x, zero()), all(255.0f)));
      const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
      const __m128i bytes = _mm_packus_epi16(words, words);
      __builtin_memcpy(half == 0 ? low : high, &bytes, 8);
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
}  // namespace mobile
}  // namespace stylerig
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace stylerig {
namespace mobile {

const Kernels* avx2_kernels() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kKernels : nullptr;
}

}  // namespace mobile
}  // namespace stylerig

#else

const stylerig::mobile::Kernels* stylerig::mobile::avx2_kernels() { return nullptr; }

#endif
