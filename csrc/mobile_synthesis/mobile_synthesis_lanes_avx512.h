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
  // The products 0-7 of a pixel from [-1, 1] to bytes; halves are rounded to even, like torch's round does.
  static STYLERIG_HD void store_bytes(uint8_t* out, const float* in) {
    const __m256 x = _mm256_mul_ps(_mm256_add_ps(_mm256_loadu_ps(in), _mm256_set1_ps(1.0f)), _mm256_set1_ps(127.5f));
    // max with the NaN on the left gives the zero on the right.
    const __m256i bounded =
        _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(x, _mm256_setzero_ps()), _mm256_set1_ps(255.0f)));
    const __m128i bytes = _mm256_cvtepi32_epi8(bounded);
    __builtin_memcpy(out, &bytes, 8);
  }
};
