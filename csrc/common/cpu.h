// Helpers of the CPU kernels: typed pointers into torch tensors, dispatch over dtypes, the thread pool, clones of hot
// functions for newer instruction sets. Everything here is on torch's ABI-stable interface.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <initializer_list>
#include <utility>

#include "common/host_device.h"

// One binary runs on any x86-64 and uses AVX2 or AVX-512 where they are: the loader picks a clone. Sanitizers cannot
// instrument the resolver, so their builds define STYLERIG_NO_CLONES.
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(STYLERIG_NO_CLONES)
#define STYLERIG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STYLERIG_CLONES
#endif

namespace stylerig {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename T>
struct TypeOf;
template <>
struct TypeOf<float> {
  static constexpr ScalarType value = ScalarType::Float;
};
template <>
struct TypeOf<double> {
  static constexpr ScalarType value = ScalarType::Double;
};

// Runs `body(T{})` with the tensor's floating-point type.
template <typename Body>
void dispatch_float(const char* op, const Tensor& tensor, Body&& body) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      body(float{});
      return;
    case ScalarType::Double:
      body(double{});
      return;
    default:
      STD_TORCH_CHECK(false, op, ": expected float32 or float64, found another dtype");
  }
}

inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  return torch::stable::new_empty(like, {sizes.begin(), sizes.size()}, dtype);
}

inline Tensor empty(std::initializer_list<int64_t> sizes, const Tensor& like) {
  return empty(sizes, like.scalar_type(), like);
}

// Kernels read tensors as flat arrays: the Python side passes contiguous ones of the right shapes, and whoever calls
// torch.ops.stylerig directly learns here that something does not fit.
inline void check(const char* op, const char* name, const Tensor& tensor, std::initializer_list<int64_t> sizes) {
  bool fits = tensor.dim() == static_cast<int64_t>(sizes.size()) && tensor.is_contiguous();
  int64_t axis = 0;
  for (const int64_t size : sizes) fits = fits && tensor.size(axis++) == size;
  STD_TORCH_CHECK(fits, op, ": ", name, " is not contiguous or has an unexpected shape");
}

template <typename Body>
void parallel(int64_t count, int64_t grain, const Body& body) {
  if (count > 0) torch::stable::parallel_for(0, count, grain, body);
}

inline int64_t threads() { return static_cast<int64_t>(torch::stable::get_num_threads()); }

// Throws if a triangle names a vertex that is not there: kernels would read outside the tensor.
inline void check_triangles(const char* op, const Tensor& triangles, int64_t vertices) {
  const int32_t* index = triangles.const_data_ptr<int32_t>();
  const int64_t count = triangles.numel();
  uint32_t largest = 0;  // as unsigned, a negative number is a large one
  for (int64_t i = 0; i < count; ++i) largest = larger(largest, static_cast<uint32_t>(index[i]));
  STD_TORCH_CHECK(count == 0 || static_cast<int64_t>(largest) < vertices, op, ": triangles name vertex ",
                  static_cast<int32_t>(largest), ", but there are ", vertices, " vertices");
}

}  // namespace stylerig
