// How the CUDA kernels of depthwise_layer and picture_layer share the channels of a pixel among a few lanes.
#pragma once

#include "styled_epilogue/styled_epilogue_packs.cuh"

namespace stylerig {

constexpr int kLanes = 8, kPack = 4, kChunk = kLanes * kPack;  // lanes of a pixel, channels of a lane, of all of them

// The first `count` of a pack's channels, or all at once; the others are 0.
template <bool kWhole, typename T>
__device__ __forceinline__ Pack<T, kPack> load_channels(const T* from, int count) {
  if constexpr (kWhole) {
    return load_pack<T, kPack>(from);
  } else {
    Pack<T, kPack> pack;
#pragma unroll
    for (int i = 0; i < kPack; ++i) pack.values[i] = i < count ? from[i] : static_cast<T>(0.0f);
    return pack;
  }
}

template <bool kWhole, typename T>
__device__ __forceinline__ void store_channels(T* to, const Pack<T, kPack>& pack, int count) {
  if constexpr (kWhole) {
    store_pack<T, kPack>(to, pack);
  } else {
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      if (i < count) to[i] = pack.values[i];
    }
  }
}

}  // namespace stylerig
