// Vectors of sixteen floats for the CPU kernels that read and write low precision, as GCC and clang have them on every
// processor: each clone (STYLERIG_CLONES) makes of them what its instructions can. Passed by reference: how a vector is
// passed by value depends on the instruction set.
#pragma once

#include <cstring>

#include "common/precision.h"

namespace stylerig {

constexpr int kLanes = 16;
using Floats = float __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Shorts = uint16_t __attribute__((vector_size(32)));

// `count` of up to sixteen values; the other lanes become 0.
STYLERIG_HD void load(Floats& to, const float* from, int64_t count = kLanes) {
  if (count >= kLanes) {
    std::memcpy(&to, from, sizeof(to));
    return;
  }
  to = Floats{};
  for (int i = 0; i < count; ++i) to[i] = from[i];
}

STYLERIG_HD void load(Floats& to, const BFloat16* from, int64_t count = kLanes) {
  if (count < kLanes) {
    to = Floats{};
    for (int i = 0; i < count; ++i) to[i] = from[i];
    return;
  }
  Shorts bits;
  std::memcpy(&bits, from, sizeof(bits));
  const Words wide = __builtin_convertvector(bits, Words) << 16;
  std::memcpy(&to, &wide, sizeof(to));
}

STYLERIG_HD void load(Floats& to, const Half* from, int64_t count = kLanes) {
  to = Floats{};
  for (int i = 0; i < smaller<int64_t>(count, kLanes); ++i) to[i] = from[i];
}

STYLERIG_HD void store(float* to, const Floats& from, int64_t count = kLanes) {
  if (count >= kLanes) {
    std::memcpy(to, &from, sizeof(from));
    return;
  }
  for (int i = 0; i < count; ++i) to[i] = from[i];
}

// Rounded to nearest, ties to even, as torch does.
STYLERIG_HD void store(BFloat16* to, const Floats& from, int64_t count = kLanes) {
  Words bits;
  std::memcpy(&bits, &from, sizeof(bits));
  const Words number = (Words)(from == from);  // all bits set, or none for NaN
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Shorts narrow = __builtin_convertvector((rounded & number) | (~number & 0x7fc0), Shorts);
  std::memcpy(to, &narrow, sizeof(BFloat16) * smaller<int64_t>(count, kLanes));
}

STYLERIG_HD void store(Half* to, const Floats& from, int64_t count = kLanes) {
  for (int i = 0; i < smaller<int64_t>(count, kLanes); ++i) to[i] = static_cast<Half>(from[i]);
}

}  // namespace stylerig
