// float32 throughout: the layers before the matrix products, inverse Haar transform and depthwise convolution. Included
// once by each variant of the CPU kernels of mobile_synthesis, behind product.h.

// What activations are kept as, between layers and as the left-hand sides of matrix products.
struct Float32 {
  using Entry = float;
  using Features = StoreFloats;  // what one block leaves for the next, and the left-hand sides
  using Middle = StoreFloats;    // what a depthwise convolution reads
  using Right = V;
  static constexpr int kStep = 1;   // entries of a row on the left that a multiplication takes
  static constexpr int kAlign = 1;  // columns are made in multiples of it
  static constexpr int kTaps = 9;   // groups of entries of depthwise weights

  static STYLERIG_HD Right load_right(const Entry* p) { return Lanes::load(p); }
  static STYLERIG_HD Right broadcast(const Entry* p) { return Lanes::all(*p); }
  static STYLERIG_HD V multiply_add(Right a, Right b, V c) { return Lanes::multiply_add(a, b, c); }
  static STYLERIG_HD void store(Entry* p, V x) { Lanes::store(p, x); }
  static STYLERIG_HD V load(const Entry* p) { return Lanes::load(p); }

  // A group's depthwise weights [9, 16] times the style [16].
  static void scale_depthwise(const float* weights, const float* style, Entry* out) {
    for (int i = 0; i < 9 * kGroup; ++i) out[i] = weights[i] * style[i % kGroup];
  }

  // The inverse Haar transform of one row of modulated bands: two rows of twice the width.
  static void upsample(const Entry* in,     // [4 groups, in_stride / 16, 16]: low, differences of rows, columns, both
                       int64_t in_stride,   // entries from one group to the next
                       const float* scale,  // [4 groups, 16]
                       int groups, int columns, Entry* top, Entry* bottom, int64_t out_stride) {
    for (int part = 0; part < groups * kParts; ++part) {
      const int group = part / kParts, lane = part % kParts * Lanes::kWidth;
      V s[4];
      const Entry* from[4];
      for (int band = 0; band < 4; ++band) {
        s[band] = Lanes::load(scale + kGroup * (band * groups + group) + lane);
        from[band] = in + (band * groups + group) * in_stride + lane;
      }
      Entry *t = top + group * out_stride + lane, *b = bottom + group * out_stride + lane;
      for (int x = 0; x < columns; ++x) {
        const V low = Lanes::mul(Lanes::load(from[0] + kGroup * x), s[0]);
        const V rows = Lanes::mul(Lanes::load(from[1] + kGroup * x), s[1]);
        const V across = Lanes::mul(Lanes::load(from[2] + kGroup * x), s[2]);
        const V both = Lanes::mul(Lanes::load(from[3] + kGroup * x), s[3]);
        const V top_low = Lanes::add(low, rows), bottom_low = Lanes::sub(low, rows);
        const V top_high = Lanes::add(across, both), bottom_high = Lanes::sub(across, both);
        Lanes::store(t + 2 * kGroup * x, Lanes::add(top_low, top_high));
        Lanes::store(t + 2 * kGroup * x + kGroup, Lanes::sub(top_low, top_high));
        Lanes::store(b + 2 * kGroup * x, Lanes::add(bottom_low, bottom_high));
        Lanes::store(b + 2 * kGroup * x + kGroup, Lanes::sub(bottom_low, bottom_high));
      }
    }
  }

  // kPixels neighbours of one row.
  template <int kPixels>
  static STYLERIG_HD void depthwise_pixels(const Entry* const in[3], const V weights[9], Entry* out) {
    V sum[kPixels];
#pragma GCC unroll 3
    for (int row = 0; row < 3; ++row) {
      V x[kPixels + 2];
#pragma GCC unroll 6
      for (int i = 0; i < kPixels + 2; ++i) x[i] = Lanes::load(in[row] + kGroup * (i - 1));
#pragma GCC unroll 3
      for (int tap = 0; tap < 3; ++tap) {
#pragma GCC unroll 4
        for (int i = 0; i < kPixels; ++i) {
          const V w = weights[3 * row + tap];
          sum[i] = row + tap == 0 ? Lanes::mul(x[i], w) : Lanes::multiply_add(x[i + tap], w, sum[i]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) Lanes::store(out + kGroup * i, sum[i]);
  }

  // A depthwise 3x3 convolution of part of a row, as the left-hand side of a matrix product.
  static void depthwise(const Entry* const rows[3],  // each [groups, in_stride / 16, 16], from the first pixel on
                        int64_t in_stride, const Entry* weights, int groups, int columns,
                        Entry* out,  // [groups, columns, 16]
                        int64_t out_stride) {
    for (int part = 0; part < groups * kParts; ++part) {
      const int group = part / kParts, lane = part % kParts * Lanes::kWidth;
      V w[9];
      for (int tap = 0; tap < 9; ++tap) w[tap] = Lanes::load(weights + kGroup * (9 * group + tap) + lane);
      const Entry* in[3];
      for (int row = 0; row < 3; ++row) in[row] = rows[row] + group * in_stride + lane;
      Entry* to = out + group * out_stride + lane;
      int x = 0;
      for (; x + 4 <= columns; x += 4, to += 4 * kGroup) {
        depthwise_pixels<4>(in, w, to);
        for (int row = 0; row < 3; ++row) in[row] += 4 * kGroup;
      }
      for (; x < columns; ++x, to += kGroup) {
        depthwise_pixels<1>(in, w, to);
        for (int row = 0; row < 3; ++row) in[row] += kGroup;
      }
    }
  }
};
