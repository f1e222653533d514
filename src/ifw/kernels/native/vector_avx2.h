// Vectors of AVX2 with FMA: 8 floats, 8 words of packed values. bfloat16 is how values are stored, not how they multiply.
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

namespace IFW_LEVEL {

using bfloat16 = uint16_t;
struct float16 {
    uint16_t bits;
};
using Floats = __m256;
constexpr int LANES = 8;
constexpr int ROWS = 6;     // of a block of the product: 6 x 2 accumulators, 2 weights and an input fill the registers
constexpr int VECTORS = 2;  // columns of a panel, in vectors
constexpr int PANEL = VECTORS * LANES;
constexpr int CHANNELS = 4;  // outputs of a convolution at once, each of up to three vectors

inline Floats zeros() { return _mm256_setzero_ps(); }
inline Floats all(float x) { return _mm256_set1_ps(x); }
inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline Floats load(const bfloat16* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline Floats load(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline Floats load_halves(const float16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
inline void store(bfloat16* p, Floats x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0xD8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }  // b where either is NaN
inline Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }  // likewise
inline Floats magnitude(Floats x) { return _mm256_andnot_ps(all(-0.0f), x); }
inline Floats nearest(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Floats scale_by_power(Floats x, Floats power) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(max(all(-127.0f), power)), _mm256_set1_epi32(127));
    return mul(x, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)));
}
inline Floats copy_sign(Floats magnitude, Floats sign) {
    return _mm256_or_ps(_mm256_andnot_ps(all(-0.0f), magnitude), _mm256_and_ps(all(-0.0f), sign));
}
inline Floats root(Floats x) { return _mm256_sqrt_ps(x); }
inline Floats reversed(Floats x) { return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)); }
// The first n values, then zeros.
inline Floats first_of(Floats x, int n) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), places)));
}
// Of the values of a, then b, every second one.
inline void deinterleave(Floats a, Floats b, Floats& even, Floats& odd) {
    const __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), odds = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd));
    even = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, 0xd8));
    odd = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, 0xd8));
}
inline float sum_of(Floats x) {
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_shuffle_ps(t, t, 1)));
}
inline float max_of(Floats x) {
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_shuffle_ps(t, t, 1)));
}

// Sums each of 8 vectors; sum i is lane i.
inline Floats sums_of(Floats (&t)[LANES]) {
    const Floats a = _mm256_hadd_ps(_mm256_hadd_ps(t[0], t[1]), _mm256_hadd_ps(t[2], t[3]));
    const Floats b = _mm256_hadd_ps(_mm256_hadd_ps(t[4], t[5]), _mm256_hadd_ps(t[6], t[7]));
    return add(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

// Products of int8. With AVX-VNNI as on AVX-512. Without it inputs stay signed, and their signs go to the weights: sums of two
// products of an unsigned and a signed byte saturate at 16 bits, but those of magnitudes up to 127 do not reach that.
struct Int8 {
    using Sums = __m256i;
    static constexpr int WORD_VALUES = 4;
    static Sums zeros() { return _mm256_setzero_si256(); }
#ifdef __AVXVNNI__
    using Inputs = __m256i;
    static constexpr int ZERO_POINT = 128;
    static Inputs broadcast(const uint32_t* word) { return _mm256_set1_epi32(static_cast<int>(*word)); }
    static Sums multiply(Sums sums, Inputs inputs, const uint32_t* weights) {
        return _mm256_dpbusd_avx_epi32(sums, inputs, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)));
    }
#else
    struct Inputs {
        __m256i values, magnitudes;
    };
    static constexpr int ZERO_POINT = 0;
    static Inputs broadcast(const uint32_t* word) {
        const __m256i values = _mm256_set1_epi32(static_cast<int>(*word));
        return {values, _mm256_abs_epi8(values)};
    }
    static Sums multiply(Sums sums, Inputs inputs, const uint32_t* weights) {
        const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
        const __m256i pairs = _mm256_maddubs_epi16(inputs.magnitudes, _mm256_sign_epi8(w, inputs.values));
        return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
#endif
    static Floats to_floats(Sums sums, const int32_t* correction) {
        const __m256i c = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(correction));
        return _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, c));
    }
    // Rounds 8 values that lie within [-127, 127], and adds a zero point.
    static void store(uint8_t* p, Floats x, int zero_point) {
        const __m256i values = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(zero_point));
        const __m256i low = _mm256_and_si256(values, _mm256_set1_epi32(0xff));
        const __m256i shorts = _mm256_packus_epi32(low, low);
        const __m256i bytes = _mm256_packus_epi16(shorts, shorts);
        const uint32_t first = static_cast<uint32_t>(_mm256_extract_epi32(bytes, 0));
        const uint32_t second = static_cast<uint32_t>(_mm256_extract_epi32(bytes, 4));
        memcpy(p, &first, 4);
        memcpy(p + 4, &second, 4);
    }
};

}  // namespace IFW_LEVEL
