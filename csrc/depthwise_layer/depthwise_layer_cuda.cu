// depthwise_layer on CUDA. A block makes a square tile of the output, of a few channels: its threads finish the pixels
// of x that the tile and its border need, each once, and leave them in shared memory, transformed; behind a barrier
// each filters a part of two columns of the tile. Neighbouring tiles read each other's borders at about the same time:
// they come from the cache.
#include <type_traits>

#include "common/cuda.h"
#include "depthwise_layer/depthwise_layer.h"
#include "depthwise_layer/depthwise_layer_packs.cuh"

namespace stylerig {
namespace {

constexpr int kThreads = 256, kSlots = kThreads / kLanes;
constexpr int kColumns = 2;             // of the tile, per thread
constexpr int kSmall = 8, kLarge = 16;  // sides of a tile
constexpr int64_t kEnoughBlocks = 264;  // of large tiles, to keep a large GPU busy; smaller layers take small ones

// Blocks on a multiprocessor: as many as the registers let in without spilling.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kBlocks = 2;
#else
constexpr int kBlocks = 3;
#endif

template <typename From, typename To>
struct Arguments {
  int height, width, channels;  // of the output
  const From* x;                // [B, H, W, C], or of bands [B, H / 2, W / 2, 4 C]
  const float* noise;           // [H, W] of x, or null
  const float* bias;            // [C] of x
  Channelwise bands;            // [B, 4 C]: scales of the bands
  const float* weight;          // [3, 3, C]
  Channelwise style;            // [B, C]
  To* y;                        // [B, H, W, C]
};

// What a block works on.
struct Tile {
  int64_t b;
  int top, left;  // of the output
  int c, count;   // this thread's channels; none if count is not positive
  int lane, slot;
  __device__ __forceinline__ Tile(int width, int channels, int side)
      : b(blockIdx.y), lane(threadIdx.x % kLanes), slot(threadIdx.x / kLanes) {
    const int chunks = (channels + kChunk - 1) / kChunk, across = (width + side - 1) / side;
    const int tile = static_cast<int>(blockIdx.x) / chunks;
    c = static_cast<int>(blockIdx.x) % chunks * kChunk + lane * kPack;
    count = channels - c;
    top = tile / across * side;
    left = tile % across * side;
  }
};

// Which pixels of x a thread finishes for a tile and the border of one pixel around it, `kRow` by `kRow` of them:
// columns of the left part in whole rows of threads, so that little is left to compute, then the two last columns.
template <int kRow>
struct Route {
  static constexpr int kPart = kRow - 2 > kSlots ? kSlots : kRow - 2;  // columns of the left part
  static constexpr int kStep = kSlots / kPart, kMain = (kRow + kStep - 1) / kStep;
  static constexpr int kTurns = kMain + (2 * kRow + kSlots - 1) / kSlots;
  static_assert(kPart == kRow - 2 && kSlots % kPart == 0, "the left part is whole rows of threads");
  int row, column;
  __device__ __forceinline__ Route(int slot, int turn) {
    if (turn < kMain) {
      row = slot / kPart + turn * kStep;
      column = slot % kPart;
    } else {
      const int n = slot + (turn - kMain) * kSlots;
      row = n / 2;
      column = kPart + n % 2;
    }
  }
  __device__ __forceinline__ bool there() const { return row < kRow; }
};

// Finishes the pixels of the tile and of one pixel around it: zeros outside the picture.
template <typename From, typename To, int kSide, bool kBands, bool kWhole>
__device__ __forceinline__ void fill(const Arguments<From, To>& a, const Tile& t, Pack<float, kPack>* tile) {
  constexpr int kParts = kBands ? 4 : 1, kScale = kBands ? 2 : 1, kWide = kSide + 2;
  using Way = Route<kSide / kScale + 2>;
  constexpr int kAhead = (kBands ? 4 : 6) * 2 / sizeof(From);  // what fits into the registers
  const int height = a.height / kScale, width = a.width / kScale;
  const int top = t.top / kScale - 1, left = t.left / kScale - 1;
  const From* x = a.x + t.b * height * width * kParts * a.channels + t.c;
  Pack<float, kPack> bias[kParts], scale[kParts];
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    bias[part] = load_channels<kWhole>(a.bias + part * a.channels + t.c, t.count);
    if constexpr (kBands) {
      scale[part] = load_channels<kWhole>(a.bands.row(t.b) + part * a.channels + t.c, t.count);
    }
  }
#pragma unroll
  for (int first = 0; first < Way::kTurns; first += kAhead) {
    Pack<From, kPack> packs[kAhead][kParts];
    float noise[kAhead];
    bool inside[kAhead];
#pragma unroll
    for (int turn = 0; turn < kAhead; ++turn) {  // all on their way before the first is needed
      if (first + turn >= Way::kTurns) continue;
      const Way way(t.slot, first + turn);
      const int row = top + way.row, column = left + way.column;
      // Outside the picture the nearest pixel is read and not used: to read is cheaper than to decide.
      const int near_row = smaller(larger(row, 0), height - 1), near_column = smaller(larger(column, 0), width - 1);
      inside[turn] = row == near_row && column == near_column;
      const unsigned pixel = static_cast<unsigned>(near_row * width + near_column), at = pixel * (kParts * a.channels);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        packs[turn][part] = load_channels<kWhole>(x + (at + part * a.channels), t.count);
      }
      noise[turn] = a.noise == nullptr ? 0.0f : a.noise[pixel];
    }
#pragma unroll
    for (int turn = 0; turn < kAhead; ++turn) {
      if (first + turn >= Way::kTurns) continue;
      const Way way(t.slot, first + turn);
      if (!way.there()) continue;
      Pack<float, kPack> made[kParts];
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        float values[kParts];
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          values[part] = finish(static_cast<float>(packs[turn][part].values[i]), noise[turn], bias[part].values[i]);
          if constexpr (kBands) values[part] *= scale[part].values[i];
        }
        if constexpr (kBands) haar(values);
#pragma unroll
        for (int part = 0; part < kParts; ++part) made[part].values[i] = inside[turn] ? values[part] : 0.0f;
      }
      if constexpr (kBands) {
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          const int row = 2 * way.row - 1 + part / 2, column = 2 * way.column - 1 + part % 2;
          if (row >= 0 && row < kWide && column >= 0 && column < kWide) {
            tile[(row * kWide + column) * kLanes + t.lane] = made[part];
          }
        }
      } else {
        tile[(way.row * kWide + way.column) * kLanes + t.lane] = made[0];
      }
    }
  }
}

template <typename From, typename To, int kSide, bool kBands, bool kWhole>
__global__ void __launch_bounds__(kThreads, kBands ? 2 : kBlocks) layer_kernel(Arguments<From, To> a) {
  constexpr int kWide = kSide + 2, kPairs = kSide / kColumns, kRows = kSide * kPairs / kSlots;
  __shared__ Pack<float, kPack> tile[kWide * kWide * kLanes];
  const Tile t(a.width, a.channels, kSide);
  if (t.count > 0) fill<From, To, kSide, kBands, kWhole>(a, t, tile);
  __syncthreads();
  const int top = t.slot / kPairs * kRows, left = t.slot % kPairs * kColumns;  // in the tile
  if (t.count <= 0 || t.top + top >= a.height || t.left + left >= a.width) return;
  const Pack<float, kPack> style = load_channels<kWhole>(a.style.row(t.b) + t.c, t.count);
  Pack<float, kPack> taps[9];
#pragma unroll
  for (int k = 0; k < 9; ++k) {
    taps[k] = load_channels<kWhole>(a.weight + k * a.channels + t.c, t.count);
#pragma unroll
    for (int i = 0; i < kPack; ++i) taps[k].values[i] *= style.values[i];
  }
  float sums[kRows][kColumns][kPack] = {};
  To* y = a.y + ((t.b * a.height + t.top + top) * a.width + t.left + left) * a.channels + t.c;
#pragma unroll
  for (int row = 0; row < kRows + 2; ++row) {
#pragma unroll
    for (int column = 0; column < kColumns + 2; ++column) {
      const Pack<float, kPack> pack = tile[((top + row) * kWide + left + column) * kLanes + t.lane];
#pragma unroll
      for (int down = 0; down < 3; ++down) {
        if (row < down || row - down >= kRows) continue;
#pragma unroll
        for (int across = 0; across < 3; ++across) {
          if (column < across || column - across >= kColumns) continue;
#pragma unroll
          for (int i = 0; i < kPack; ++i) {
            sums[row - down][column - across][i] += taps[3 * down + across].values[i] * pack.values[i];
          }
        }
      }
    }
    const int done = row - 2;
    if (done < 0) continue;
    if (t.top + top + done >= a.height) return;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      if (t.left + left + j >= a.width) continue;
      Pack<To, kPack> pack;
#pragma unroll
      for (int i = 0; i < kPack; ++i) pack.values[i] = static_cast<To>(sums[done][j][i]);
      store_channels<kWhole>(y + j * a.channels, pack, t.count);
    }
    y += a.width * a.channels;
  }
}

int64_t blocks_of(int height, int width, int channels, int side) {
  const int64_t down = (height + side - 1) / side, across = (width + side - 1) / side;
  return down * across * ((channels + kChunk - 1) / kChunk);
}

template <typename From, typename To, int kSide, bool kBands, bool kWhole>
void launch(const Arguments<From, To>& a, int64_t batch, cudaStream_t stream) {
  const int64_t count = blocks_of(a.height, a.width, a.channels, kSide);
  STD_TORCH_CHECK(count < (int64_t{1} << 31), "depthwise_layer: the pictures are too large");
  const dim3 blocks(static_cast<unsigned>(count), static_cast<unsigned>(batch));
  STYLERIG_LAUNCH((layer_kernel<From, To, kSide, kBands, kWhole>), blocks, kThreads, stream, a);
}

template <typename From, typename To, bool kBands>
void launch_tiles(const Arguments<From, To>& a, int64_t batch, cudaStream_t stream) {
  const bool whole = a.channels % kPack == 0 && aligned(a.x, sizeof(From) * kPack) &&
                     aligned(a.y, sizeof(To) * kPack) && aligned(a.bias, 16) && aligned(a.weight, 16) &&
                     aligned(a.style, batch) && aligned(a.bands, batch);
  if (!whole) {
    launch<From, To, kSmall, kBands, false>(a, batch, stream);
  } else if (batch * blocks_of(a.height, a.width, a.channels, kLarge) < kEnoughBlocks) {
    launch<From, To, kSmall, kBands, true>(a, batch, stream);
  } else {
    launch<From, To, kLarge, kBands, true>(a, batch, stream);
  }
}

void depthwise_layer(const Tensor& x, const std::optional<Tensor>& noise, const Tensor& bias,
                     const std::optional<Tensor>& bands, const Tensor& weight, const Tensor& style, const Tensor& out) {
  const char* op = "depthwise_layer";
  const int64_t scale = bands.has_value() ? 2 : 1, batch = x.size(0), height = x.size(1), width = x.size(2);
  const int64_t channels = x.size(3) / (scale * scale);
  check(op, "x", x, {batch, height, width, scale * scale * channels});
  check(op, "bias", bias, {scale * scale * channels});
  check(op, "weight", weight, {3, 3, channels});
  check(op, "out", out, {batch, scale * height, scale * width, channels});
  if (noise.has_value()) check(op, "noise", *noise, {height, width});
  // The values of a sample are counted in 32 bits, its batch by the rows of a grid.
  STD_TORCH_CHECK(batch < 65536 && scale * height * scale * width * channels < (int64_t{1} << 31), op,
                  ": the batch or the pictures are too large");
  const Channelwise styles = channelwise(op, "style", style, batch, channels);
  const Channelwise scales = channelwise(op, "bands", bands, batch, 4 * channels);
  if (out.numel() == 0) return;
  const OnDevice on(x);
  const auto run = [&](auto from, auto to) {
    using From = decltype(from);
    using To = decltype(to);
    const Arguments<From, To> a = {static_cast<int>(scale * height),
                                   static_cast<int>(scale * width),
                                   static_cast<int>(channels),
                                   x.const_data_ptr<From>(),
                                   pointer_or_null<float>(noise),
                                   bias.const_data_ptr<float>(),
                                   scales,
                                   weight.const_data_ptr<float>(),
                                   styles,
                                   out.mutable_data_ptr<To>()};
    if (bands.has_value()) {
      launch_tiles<From, To, true>(a, batch, on.stream());
    } else {
      launch_tiles<From, To, false>(a, batch, on.stream());
    }
  };
  dispatch_precision(op, x, [&](auto from) {
    if constexpr (std::is_same_v<decltype(from), float>) {
      dispatch_precision(op, out, [&](auto to) { run(from, to); });
    } else {
      run(from, from);
    }
  });
  check_launch(op);
}

}  // namespace
}  // namespace stylerig

STYLERIG_CUDA_LIBRARY(m) { m.impl("depthwise_layer", TORCH_BOX(&stylerig::depthwise_layer)); }
