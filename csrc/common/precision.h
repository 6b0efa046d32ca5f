// The types that a network may compute in, on CPU and CUDA.
#pragma once

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "common/cpu.h"

namespace stylerig {

using BFloat16 = torch::headeronly::BFloat16;
using Half = torch::headeronly::Half;

template <>
struct TypeOf<BFloat16> {
  static constexpr ScalarType value = ScalarType::BFloat16;
};
template <>
struct TypeOf<Half> {
  static constexpr ScalarType value = ScalarType::Half;
};

// Runs `body(T{})` with the tensor's type: float32, bfloat16 or float16.
template <typename Body>
void dispatch_precision(const char* op, const Tensor& tensor, Body&& body) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      body(float{});
      return;
    case ScalarType::BFloat16:
      body(BFloat16{});
      return;
    case ScalarType::Half:
      body(Half{});
      return;
    default:
      STD_TORCH_CHECK(false, op, ": expected float32, bfloat16 or float16, found another dtype");
  }
}

}  // namespace stylerig
