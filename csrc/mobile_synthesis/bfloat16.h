// Activations in bfloat16, sums in float32. Included by the variant of the CPU kernels of mobile_synthesis that has dot
// products of bfloat16 (two at a time), behind product.h and Lanes of 16 floats.
//
// A depthwise convolution takes two neighbouring pixels at a time, so what it reads has them interleaved: [groups,
// columns / 2, 16, 2]. Everything else is [groups, columns, 16].

STYLERIG_HD __m512bh two(V low, V high) { return _mm512_cvtne2ps_pbh(high, low); }

// Two pixels, channel by channel.
STYLERIG_HD __m512i interleaved(V left, V right) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, (__m512i)two(left, right));
}

struct StoreFeatures {
  using Entry = uint16_t;
  static constexpr int kAlign = 1;
  template <int kRows>
  static STYLERIG_HD void rows(Entry* out, const V (&x)[kRows]) {
#pragma GCC unroll 8
    for (int r = 0; r + 1 < kRows; r += 2) _mm512_storeu_si512(out + kGroup * r, (__m512i)two(x[r], x[r + 1]));
    if (kRows % 2 == 1) {
      const __m256i last = (__m256i)_mm512_cvtneps_pbh(x[kRows - 1]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kGroup * (kRows - 1)), last);
    }
  }
};

struct StorePairs {
  using Entry = uint16_t;
  static constexpr int kAlign = 2;
  template <int kRows>
  static STYLERIG_HD void rows(Entry* out, const V (&x)[kRows]) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; r += 2) _mm512_storeu_si512(out + kGroup * r, interleaved(x[r], x[r + 1]));
  }
};

struct BFloat16 {
  using Entry = uint16_t;
  using Features = StoreFeatures;
  using Middle = StorePairs;
  using Right = __m512bh;
  static constexpr int kStep = 2, kAlign = 2;
  // A row's three weights, as both pixels of a pair need them: (0, a), (b, c) for the left one, (a, b), (c, 0).
  static constexpr int kTaps = 24;

  static STYLERIG_HD Right load_right(const Entry* p) { return (Right)_mm512_loadu_si512(p); }
  static STYLERIG_HD Right broadcast(const Entry* p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof(pair));
    return (Right)_mm512_set1_epi32(pair);
  }
  static STYLERIG_HD V multiply_add(Right a, Right b, V c) { return _mm512_dpbf16_ps(c, a, b); }
  static STYLERIG_HD void store(Entry* p, V x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
  }
  static STYLERIG_HD V load(const Entry* p) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }

  static void scale_depthwise(const float* weights, const float* style, Entry* out) {
    const V s = Lanes::load(style), none = Lanes::zero();
    for (int row = 0; row < 3; ++row) {
      V w[3];
      for (int tap = 0; tap < 3; ++tap) w[tap] = Lanes::mul(Lanes::load(weights + kGroup * (3 * row + tap)), s);
      const __m512i pairs[4] = {interleaved(none, w[0]), interleaved(w[1], w[2]), interleaved(w[0], w[1]),
                                interleaved(w[2], none)};
      for (int i = 0; i < 4; ++i) _mm512_storeu_si512(out + 2 * kGroup * (4 * row + i), pairs[i]);
    }
  }

  static void upsample(const Entry* in, int64_t in_stride, const float* scale, int groups, int columns, Entry* top,
                       Entry* bottom, int64_t out_stride) {
    for (int group = 0; group < groups; ++group) {
      V s[4];
      const Entry* from[4];
      for (int band = 0; band < 4; ++band) {
        s[band] = Lanes::load(scale + kGroup * (band * groups + group));
        from[band] = in + (band * groups + group) * in_stride;
      }
      Entry *t = top + group * out_stride, *b = bottom + group * out_stride;
      for (int x = 0; x < columns; ++x) {
        const V low = Lanes::mul(load(from[0] + kGroup * x), s[0]), rows = Lanes::mul(load(from[1] + kGroup * x), s[1]);
        const V across = Lanes::mul(load(from[2] + kGroup * x), s[2]);
        const V both = Lanes::mul(load(from[3] + kGroup * x), s[3]);
        const V top_low = Lanes::add(low, rows), bottom_low = Lanes::sub(low, rows);
        const V top_high = Lanes::add(across, both), bottom_high = Lanes::sub(across, both);
        _mm512_storeu_si512(t + 2 * kGroup * x,
                            interleaved(Lanes::add(top_low, top_high), Lanes::sub(top_low, top_high)));
        _mm512_storeu_si512(b + 2 * kGroup * x,
                            interleaved(Lanes::add(bottom_low, bottom_high), Lanes::sub(bottom_low, bottom_high)));
      }
    }
  }

  // kPairs pairs of neighbours of one row.
  template <int kPairs>
  static STYLERIG_HD void depthwise_pairs(const Entry* const in[3], const Right weights[12], Entry* out) {
    V left[kPairs], right[kPairs];
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) left[i] = right[i] = Lanes::zero();
#pragma GCC unroll 3
    for (int row = 0; row < 3; ++row) {
      Right x[kPairs + 2];
#pragma GCC unroll 6
      for (int i = 0; i < kPairs + 2; ++i) x[i] = load_right(in[row] + 2 * kGroup * (i - 1));
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) {
        left[i] = multiply_add(x[i], weights[4 * row], left[i]);
        right[i] = multiply_add(x[i + 1], weights[4 * row + 2], right[i]);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kPairs; ++i) {
        left[i] = multiply_add(x[i + 1], weights[4 * row + 1], left[i]);
        right[i] = multiply_add(x[i + 2], weights[4 * row + 3], right[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) _mm512_storeu_si512(out + 2 * kGroup * i, (__m512i)two(left[i], right[i]));
  }

  static void depthwise(const Entry* const rows[3], int64_t in_stride, const Entry* weights, int groups, int columns,
                        Entry* out, int64_t out_stride) {
    for (int group = 0; group < groups; ++group) {
      Right w[12];
      for (int i = 0; i < 12; ++i) w[i] = load_right(weights + 2 * kGroup * (12 * group + i));
      const Entry* in[3];
      for (int row = 0; row < 3; ++row) in[row] = rows[row] + group * in_stride;
      Entry* to = out + group * out_stride;
      int x = 0;
      for (; x + 8 <= columns; x += 8, to += 8 * kGroup) {
        depthwise_pairs<4>(in, w, to);
        for (int row = 0; row < 3; ++row) in[row] += 8 * kGroup;
      }
      for (; x < columns; x += 2, to += 2 * kGroup) {
        depthwise_pairs<1>(in, w, to);
        for (int row = 0; row < 3; ++row) in[row] += 2 * kGroup;
      }
    }
  }
};
