// Matrix products of the CPU kernels of mobile_synthesis. Included once by each variant, inside its namespace, behind
// `Lanes`: vectors of floats.

// Vectors of a panel; rows of the left-hand side that are multiplied together.
constexpr int kVectors = Lanes::kPanel / Lanes::kWidth;
constexpr int kParts = kGroup / Lanes::kWidth;  // vectors of a group

using V = Lanes::V;

// What the two sides of a product are made of. A step takes one entry of each row on the left.
struct Float32 {
  using Entry = float;
  using Right = V;
  static constexpr int kStep = 1;
  static STYLERIG_HD Right load_right(const Entry* p) { return Lanes::load(p); }
  static STYLERIG_HD Right broadcast(const Entry* p) { return Lanes::all(*p); }
  static STYLERIG_HD V multiply_add(Right a, Right b, V c) { return Lanes::multiply_add(a, b, c); }
  static STYLERIG_HD void store_left(Entry* p, V x) { Lanes::store(p, x); }
};

// A left-hand side [groups, stride / 16, 16], of which `rows` pixels are used, and where their products go.
template <class Operand>
struct Product {
  using Entry = typename Operand::Entry;
  const Entry* left;
  int64_t stride;  // entries from one group to the next
  int groups, rows;
  const Entry* panels;
  const float* bias;   // [outputs]
  const float* noise;  // [rows]; null for neither noise nor leaky ReLU
  int outputs;
  float* out;          // [outputs / 16, out_stride / 16, 16]
  int64_t out_stride;  // floats from one group to the next
};

template <class Operand, int kRows, int kColumns>
STYLERIG_HD void multiply_tile(const Product<Operand>& p, int first_row, const typename Operand::Entry* panel,
                               int channel) {
  V sum[kRows][kColumns];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < kColumns; ++n) sum[r][n] = Lanes::zero();
  }
  using Entry = typename Operand::Entry;
  using Right = typename Operand::Right;
  const Entry* left = p.left + kGroup * first_row;
  for (int group = 0; group < p.groups; ++group) {
    const Entry* l = left;
#pragma GCC unroll 2
    for (int step = 0; step < kGroup / Operand::kStep; ++step) {
      Right right[kColumns];
#pragma GCC unroll 4
      for (int n = 0; n < kColumns; ++n) right[n] = Operand::load_right(panel + n * Lanes::kWidth * Operand::kStep);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Right x = Operand::broadcast(l + kGroup * r);
#pragma GCC unroll 4
        for (int n = 0; n < kColumns; ++n) sum[r][n] = Operand::multiply_add(x, right[n], sum[r][n]);
      }
      l += Operand::kStep;
      panel += kColumns * Lanes::kWidth * Operand::kStep;
    }
    left += p.stride;
  }
#pragma GCC unroll 4
  for (int n = 0; n < kColumns; ++n) {
    const int c = channel + n * Lanes::kWidth;
    const V bias = Lanes::load(p.bias + c);
    float* out = p.out + c / kGroup * p.out_stride + kGroup * first_row + c % kGroup;
    if (p.noise == nullptr) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) Lanes::store(out + kGroup * r, Lanes::add(sum[r][n], bias));
    } else {
      const V slope = Lanes::all(kSlope);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V x = Lanes::add(Lanes::add(sum[r][n], Lanes::all(p.noise[first_row + r])), bias);
        Lanes::store(out + kGroup * r, Lanes::max(x, Lanes::mul(x, slope)));
      }
    }
  }
}

// A function of its own, so that the compiler finds registers for one size of tile at a time.
template <class Operand, int kRows, int kColumns>
__attribute__((noinline)) void tile(const Product<Operand>& p, int first_row, const typename Operand::Entry* panel,
                                    int channel) {
  multiply_tile<Operand, kRows, kColumns>(p, first_row, panel, channel);
}

template <int kColumns, class Operand, int kRows = Lanes::kRows>
STYLERIG_HD void tile_of(int rows, const Product<Operand>& p, int first_row, const typename Operand::Entry* panel,
                         int channel) {
  if (rows == kRows) {
    tile<Operand, kRows, kColumns>(p, first_row, panel, channel);
  } else if constexpr (kRows > 1) {
    tile_of<kColumns, Operand, kRows - 1>(rows, p, first_row, panel, channel);
  }
}

// Output channels from `begin` (the start of a panel) to `end`.
template <class Operand>
void multiply(const Product<Operand>& p, int begin, int end) {
  const int tiles = (p.rows + Lanes::kRows - 1) / Lanes::kRows;
  for (int channel = begin; channel < end; channel += Lanes::kPanel) {
    const typename Operand::Entry* panel = p.panels + static_cast<int64_t>(channel) * p.groups * kGroup;
    for (int t = 0; t < tiles; ++t) {
      // Tiles of about the same size: no small one is left over.
      const int first = p.rows * t / tiles, rows = p.rows * (t + 1) / tiles - first;
      if (p.outputs - channel >= Lanes::kPanel) {
        tile_of<kVectors>(rows, p, first, panel, channel);
      } else {
        tile_of<(kVectors + 1) / 2>(rows, p, first, panel, channel);
      }
    }
  }
}
