// What the C++ and the CUDA kernels share: qualifiers and arithmetic that is the same on both.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define STYLERIG_HD __host__ __device__ __forceinline__
#define STYLERIG_RESTRICT __restrict__
#elif defined(_MSC_VER)
#define STYLERIG_HD __forceinline
#define STYLERIG_RESTRICT __restrict
#else
#define STYLERIG_HD inline __attribute__((always_inline))
#define STYLERIG_RESTRICT __restrict__
#endif

namespace stylerig {

template <typename T>
STYLERIG_HD T smaller(T a, T b) {
  return b < a ? b : a;
}

template <typename T>
STYLERIG_HD T larger(T a, T b) {
  return a < b ? b : a;
}

// a*b - c*d, each product rounded by itself: exchanging (a,b) with (c,d) gives the exact negative, which a fused
// multiply-add would not. Edge functions of neighbouring triangles rely on it.
STYLERIG_HD float difference_of_products(float a, float b, float c, float d) {
#if defined(__CUDA_ARCH__)
  return __fsub_rn(__fmul_rn(a, b), __fmul_rn(c, d));
#else
  return a * b - c * d;
#endif
}

STYLERIG_HD double difference_of_products(double a, double b, double c, double d) {
#if defined(__CUDA_ARCH__)
  return __dsub_rn(__dmul_rn(a, b), __dmul_rn(c, d));
#else
  return a * b - c * d;
#endif
}

// a - b*c, rounded twice like the CPU and the reference do.
STYLERIG_HD float minus_product(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fsub_rn(a, __fmul_rn(b, c));
#else
  return a - b * c;
#endif
}

STYLERIG_HD double minus_product(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __dsub_rn(a, __dmul_rn(b, c));
#else
  return a - b * c;
#endif
}

// a*b + c*d + e*f, every operation rounded by itself.
STYLERIG_HD float sum_of_products(float a, float b, float c, float d, float e, float f) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(__fadd_rn(__fmul_rn(a, b), __fmul_rn(c, d)), __fmul_rn(e, f));
#else
  return a * b + c * d + e * f;
#endif
}

STYLERIG_HD double sum_of_products(double a, double b, double c, double d, double e, double f) {
#if defined(__CUDA_ARCH__)
  return __dadd_rn(__dadd_rn(__dmul_rn(a, b), __dmul_rn(c, d)), __dmul_rn(e, f));
#else
  return a * b + c * d + e * f;
#endif
}

}  // namespace stylerig
