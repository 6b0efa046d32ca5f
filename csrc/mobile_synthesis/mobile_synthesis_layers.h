// The layers before the matrix products: inverse Haar transform and depthwise convolution. Included once by each
// variant of the CPU kernels of mobile_synthesis, behind mobile_synthesis_product.h.

// The inverse Haar transform of one row of modulated bands: two rows of twice the width.
inline void upsample(const float* in,     // [4 groups, in_stride / 16, 16]: low, differences of rows, columns, both
                     int64_t in_stride,   // floats from one group to the next
                     const float* scale,  // [4 groups, 16]
                     int groups, int columns, float* top, float* bottom, int64_t out_stride) {
  for (int part = 0; part < groups * kParts; ++part) {
    const int group = part / kParts, lane = part % kParts * Lanes::kWidth;
    V s[4];
    const float* from[4];
    for (int band = 0; band < 4; ++band) {
      s[band] = Lanes::load(scale + kGroup * (band * groups + group) + lane);
      from[band] = in + (band * groups + group) * in_stride + lane;
    }
    float *t = top + group * out_stride + lane, *b = bottom + group * out_stride + lane;
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

// kPixels neighbours of one row: `in` is the pixel to the left of the first, in the three rows.
template <int kPixels>
STYLERIG_HD void depthwise_pixels(const float* const in[3], const V weights[9], V sum[kPixels]) {
#pragma GCC unroll 3
  for (int row = 0; row < 3; ++row) {
    V x[kPixels + 2];
#pragma GCC unroll 6
    for (int i = 0; i < kPixels + 2; ++i) x[i] = Lanes::load(in[row] + kGroup * i);
#pragma GCC unroll 3
    for (int tap = 0; tap < 3; ++tap) {
#pragma GCC unroll 4
      for (int i = 0; i < kPixels; ++i) {
        const V w = weights[3 * row + tap];
        sum[i] = row + tap == 0 ? Lanes::mul(x[i], w) : Lanes::multiply_add(x[i + tap], w, sum[i]);
      }
    }
  }
}

// A depthwise 3x3 convolution of part of a row, as the left-hand side of a matrix product.
template <class Operand>
void depthwise(const float* const rows[3],  // each [groups, in_stride / 16, 16], at the pixel left of the first
               int64_t in_stride, const float* weights, int groups, int columns,
               typename Operand::Entry* out,  // [groups, out_stride / 16, 16]
               int64_t out_stride) {
  for (int part = 0; part < groups * kParts; ++part) {
    const int group = part / kParts, lane = part % kParts * Lanes::kWidth;
    V w[9];
    for (int tap = 0; tap < 9; ++tap) w[tap] = Lanes::load(weights + kGroup * (9 * group + tap) + lane);
    const float* in[3];
    for (int row = 0; row < 3; ++row) in[row] = rows[row] + group * in_stride + lane;
    typename Operand::Entry* to = out + group * out_stride + lane;
    int x = 0;
    for (; x + 4 <= columns; x += 4) {
      V sum[4];
      depthwise_pixels<4>(in, w, sum);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) Operand::store_left(to + kGroup * (x + i), sum[i]);
      for (int row = 0; row < 3; ++row) in[row] += 4 * kGroup;
    }
    for (; x < columns; ++x) {
      V sum[1];
      depthwise_pixels<1>(in, w, sum);
      Operand::store_left(to + kGroup * x, sum[0]);
      for (int row = 0; row < 3; ++row) in[row] += kGroup;
    }
  }
}

inline void fill_zero(float* out, int64_t stride, int groups, int columns) {
  for (int group = 0; group < groups; ++group) {
    for (int i = 0; i < kGroup * columns; ++i) out[group * stride + i] = 0;
  }
}
