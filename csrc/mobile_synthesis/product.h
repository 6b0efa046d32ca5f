// Matrix products of the CPU kernels of mobile_synthesis. Included once by each variant, inside its namespace, behind
// `Lanes`: vectors of floats.

// Vectors of a panel; vectors of a group.
constexpr int kVectors = Lanes::kPanel / Lanes::kWidth;
constexpr int kParts = kGroup / Lanes::kWidth;

using V = Lanes::V;

// Writes the products of neighbouring pixels, kGroup entries apart.
struct StoreFloats {
  using Entry = float;
  static constexpr int kAlign = 1;  // pixels come in multiples of it
  template <int kRows>
  static STYLERIG_HD void rows(Entry* out, const V (&x)[kRows]) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) Lanes::store(out + kGroup * r, x[r]);
  }
};

// A left-hand side [groups, stride / 16, 16], of which `rows` pixels are used, and where their products go.
template <class Format, class Store>
struct Product {
  const typename Format::Entry* left;
  int64_t stride;  // entries from one group to the next
  int groups, rows;
  const typename Format::Entry* panels;
  const float* bias;   // [outputs]
  const float* noise;  // [rows]; null for neither noise nor leaky ReLU
  int outputs;
  typename Store::Entry* out;  // [outputs / 16, out_stride / 16, 16]
  int64_t out_stride;          // entries from one group to the next
};

// A function of its own, so that the compiler finds registers for one size of tile at a time.
template <class Format, class Store, int kRows, int kColumns>
__attribute__((noinline)) void tile(const Product<Format, Store>& p, int first_row, const typename Format::Entry* panel,
                                    int channel) {
  using Entry = typename Format::Entry;
  using Right = typename Format::Right;
  V sum[kColumns][kRows];
#pragma GCC unroll 4
  for (int n = 0; n < kColumns; ++n) {
    const V bias = Lanes::load(p.bias + channel + n * Lanes::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      sum[n][r] = p.noise == nullptr ? bias : Lanes::add(Lanes::all(p.noise[first_row + r]), bias);
    }
  }
  const Entry* left = p.left + kGroup * first_row;
  for (int group = 0; group < p.groups; ++group) {
    const Entry* l = left;
#pragma GCC unroll 2
    for (int step = 0; step < kGroup / Format::kStep; ++step) {
      Right right[kColumns];
#pragma GCC unroll 4
      for (int n = 0; n < kColumns; ++n) right[n] = Format::load_right(panel + n * Lanes::kWidth * Format::kStep);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Right x = Format::broadcast(l + kGroup * r);
#pragma GCC unroll 4
        for (int n = 0; n < kColumns; ++n) sum[n][r] = Format::multiply_add(x, right[n], sum[n][r]);
      }
      l += Format::kStep;
      panel += kColumns * Lanes::kWidth * Format::kStep;
    }
    left += p.stride;
  }
  const V slope = Lanes::all(p.noise == nullptr ? 1.0f : kSlope);
#pragma GCC unroll 4
  for (int n = 0; n < kColumns; ++n) {
    const int c = channel + n * Lanes::kWidth;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sum[n][r] = Lanes::max(sum[n][r], Lanes::mul(sum[n][r], slope));
    Store::rows(p.out + c / kGroup * p.out_stride + kGroup * first_row + c % kGroup, sum[n]);
  }
}

template <int kColumns, class Format, class Store, int kRows = Lanes::kRows>
STYLERIG_HD void tile_of(int rows, const Product<Format, Store>& p, int first_row, const typename Format::Entry* panel,
                         int channel) {
  if (rows == kRows) {
    tile<Format, Store, kRows, kColumns>(p, first_row, panel, channel);
  } else if constexpr (kRows > Store::kAlign) {
    tile_of<kColumns, Format, Store, kRows - Store::kAlign>(rows, p, first_row, panel, channel);
  }
}

// Output channels from `begin` (the start of a panel) to `end`.
template <class Format, class Store>
void multiply(const Product<Format, Store>& p, int begin, int end) {
  const int units = p.rows / Store::kAlign, tiles = (p.rows + Lanes::kRows - 1) / Lanes::kRows;
  for (int channel = begin; channel < end; channel += Lanes::kPanel) {
    const typename Format::Entry* panel = p.panels + static_cast<int64_t>(channel) * p.groups * kGroup;
    for (int t = 0; t < tiles; ++t) {
      // Tiles of about the same size: no small one is left over.
      const int first = units * t / tiles * Store::kAlign, rows = units * (t + 1) / tiles * Store::kAlign - first;
      if (p.outputs - channel >= Lanes::kPanel) {
        tile_of<kVectors>(rows, p, first, panel, channel);
      } else {
        tile_of<(kVectors + 1) / 2>(rows, p, first, panel, channel);
      }
    }
  }
}
