// mobile_synthesis for AVX-512: 32 registers of 16 floats, of which 28 hold a tile of 14 pixels x 32 channels.
#include <cstring>

#include "common/host_device.h"
#include "mobile_synthesis/mobile_synthesis.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
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

const Kernels* avx512_kernels() {
  const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return there ? &kKernels : nullptr;
}

}  // namespace mobile
}  // namespace stylerig

#else

const stylerig::mobile::Kernels* stylerig::mobile::avx512_kernels() { return nullptr; }

#endif
