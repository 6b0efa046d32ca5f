// mobile_synthesis for AVX-512 with dot products of bfloat16: the matrix products take two inputs at a time.
// Activations, sums and everything else stay in float32.
#include <cstring>

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
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // inside of GCC 12's own headers
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
namespace stylerig {
namespace mobile {
namespace {

// clang-format off: each needs those above
#include "mobile_synthesis/lanes_avx512.h"
#include "mobile_synthesis/product.h"
#include "mobile_synthesis/float32.h"
#include "mobile_synthesis/bfloat16.h"
#include "mobile_synthesis/picture.h"
#include "mobile_synthesis/chain.h"
#include "mobile_synthesis/variant.h"
// clang-format on

constexpr Kernels kKernels = Functions<BFloat16>::kernels();

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
