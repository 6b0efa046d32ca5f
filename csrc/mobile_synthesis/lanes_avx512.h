// Vectors of floats for the AVX-512 variants of mobile_synthesis. Included inside their namespace.

struct Lanes {
  using V = __m512;
  static constexpr int kWidth = 16, kPanel = 32, kRows = 14;
  static STYLERIG_HD V zero() { return _mm512_setzero_ps(); }
  static STYLERIG_HD V all(float x) { return _mm512_set1_ps(x); }
  static STYLERIG_HD V load(const float* p) { return _mm512_loadu_ps(p); }
  static STYLERIG_HD void store(float* p, V x) { _mm512_storeu_ps(p, x); }
  static STYLERIG_HD V add(V a, V b) { return _mm512_add_ps(a, b); }
  static STYLERIG_HD V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static STYLERIG_HD V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static STYLERIG_HD V max(V a, V b) { return _mm512_max_ps(a, b); }
  static STYLERIG_HD V multiply_add(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  // Sixteen values from [-1, 1] to bytes, eight to each place; halves are rounded to even, like torch's round does.
  static STYLERIG_HD void store_bytes(uint8_t* low, uint8_t* high, const float* in) {
    const V x = mul(add(load(in), all(1.0f)), all(127.5f));
    // Of NaN and a number, max and min take the one on the right.
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_min_ps(max(x, zero()), all(255.0f))));
    const int64_t halves[2] = {_mm_cvtsi128_si64(bytes), _mm_extract_epi64(bytes, 1)};
    __builtin_memcpy(low, halves, 8);
    __builtin_memcpy(high, halves + 1, 8);
  }
};
