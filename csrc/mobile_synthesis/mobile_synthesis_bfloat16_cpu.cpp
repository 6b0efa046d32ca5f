// mobile_synthesis for AVX-512 with dot products of bfloat16: the matrix products take two inputs at a time.
// Activations, sums and everything else stay in float32.
#include "common/host_device.h"
#include "mobile_synthesis/mobile_synthesis.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own _mm512_undefined_ps
#endif
namespace stylerig {
namespace mobile {
namespace {

#include "mobile_synthesis/mobile_synthesis_lanes_avx512.h"
#include "mobile_synthesis/mobile_synthesis_variant.h"

struct BFloat16 {
  using Entry = uint16_t;
  using Right = __m512bh;
  static constexpr int kStep = 2;
  static STYLERIG_HD Right load_right(const Entry* p) { return (Right)_mm512_loadu_si512(p); }
  static STYLERIG_HD Right broadcast(const Entry* p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return (Right)_mm512_set1_epi32(pair);
  }
  static STYLERIG_HD V multiply_add(Right a, Right b, V c) { return _mm512_dpbf16_ps(c, a, b); }
  static STYLERIG_HD void store_left(Entry* p, V x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
  }
};

constexpr Kernels kKernels = Variant<BFloat16>::kernels(true);

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

const Kernels* avx512_bfloat16_kernels() {
  return avx512_kernels() != nullptr && __builtin_cpu_supports("avx512bf16") ? &kKernels : nullptr;
}

}  // namespace mobile
}  // namespace stylerig

#else

const stylerig::mobile::Kernels* stylerig::mobile::avx512_bfloat16_kernels() { return nullptr; }

#endif
