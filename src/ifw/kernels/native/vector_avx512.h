// Vectors of AVX-512: 16 floats, 16 words of packed values. With AVX512-BF16, pairs of bfloat16 are multiplied directly.
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
using Floats = __m512;
constexpr int LANES = 16;
constexpr int ROWS = 6;     // of a block of the product: 6 x 4 accumulators, 4 weights and an input fill the registers
constexpr int VECTORS = 4;  // columns of a panel, in vectors
constexpr int PANEL = VECTORS * LANES;
constexpr int CHANNELS = 8;  // outputs of a convolution at once, each of up to three vectors

inline Floats zeros() { return _mm512_setzero_ps(); }
inline Floats all(float x) { return _mm512_set1_ps(x); }
inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline Floats load(const bfloat16* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline Floats load(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline Floats load_halves(const float16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }  // b where either is NaN
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }  // likewise
inline Floats magnitude(Floats x) { return _mm512_abs_ps(x); }
inline Floats nearest(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Floats scale_by_power(Floats x, Floats power) { return _mm512_scalef_ps(x, power); }
inline Floats copy_sign(Floats magnitude, Floats sign) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(mask, _mm512_castps_si512(sign), _mm512_castps_si512(magnitude), 0xCA));
}
inline Floats root(Floats x) { return _mm512_sqrt_ps(x); }
inline Floats reversed(Floats x) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), x);
}
// The first n values, then zeros.
inline Floats first_of(Floats x, int n) { return _mm512_maskz_mov_ps(static_cast<__mmask16>((1u << n) - 1), x); }
// Of the values of a, then b, every second one.
inline void deinterleave(Floats a, Floats b, Floats& even, Floats& odd) {
    const __m512i places = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    even = _mm512_permutex2var_ps(a, places, b);
    odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(places, _mm512_set1_epi32(1)), b);
}
inline float sum_of(Floats x) { return _mm512_reduce_add_ps(x); }
inline float max_of(Floats x) { return _mm512_reduce_max_ps(x); }

#ifdef __AVX512BF16__
inline void store(bfloat16* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
}
#else
inline void store(bfloat16* p, Floats x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
#endif

// Sums each of 16 vectors; sum i is lane i.
__attribute__((always_inline)) inline Floats sums_of(Floats (&t)[LANES]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        t[i] = add(_mm512_unpacklo_ps(t[2 * i], t[2 * i + 1]), _mm512_unpackhi_ps(t[2 * i], t[2 * i + 1]));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512d low = _mm512_castps_pd(t[2 * i]), high = _mm512_castps_pd(t[2 * i + 1]);
        t[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)), _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
    }
    const Floats first = add(_mm512_shuffle_f32x4(t[0], t[1], 0x88), _mm512_shuffle_f32x4(t[0], t[1], 0xdd));
    const Floats second = add(_mm512_shuffle_f32x4(t[2], t[3], 0x88), _mm512_shuffle_f32x4(t[2], t[3], 0xdd));
    return add(_mm512_shuffle_f32x4(first, second, 0x88), _mm512_shuffle_f32x4(first, second, 0xdd));
}

// Products of int8: four inputs a word, unsigned with zero point 128, times four signed weights.
struct Int8 {
    using Sums = __m512i;
    using Inputs = __m512i;
    static constexpr int WORD_VALUES = 4;
    static constexpr int ZERO_POINT = 128;
    static Sums zeros() { return _mm512_setzero_si512(); }
    static Inputs broadcast(const uint32_t* word) { return _mm512_set1_epi32(static_cast<int>(*word)); }
    static Sums multiply(Sums sums, Inputs inputs, const uint32_t* weights) {
        // The intrinsic, but as GCC 12 compiles that one, every sum is copied to another register and back.
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(_mm512_loadu_si512(weights)));
        return sums;
    }
    static Floats to_floats(Sums sums, const int32_t* correction) {
        return _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, _mm512_loadu_si512(correction)));
    }
    // Rounds 16 values that lie within [-127, 127], and adds a zero point.
    static void store(uint8_t* p, Floats x, int zero_point) {
        const __m512i values = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero_point));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(values));
    }
};

#ifdef __AVX512BF16__
// Products of bfloat16: two a word.
#define IFW_HAS_BFLOAT16
struct Bfloat16 {
    using Sums = __m512;
    using Inputs = __m512i;
    using Value = bfloat16;
    static constexpr int WORD_VALUES = 2;
    static Sums zeros() { return _mm512_setzero_ps(); }
    static Inputs broadcast(const uint32_t* word) { return _mm512_set1_epi32(static_cast<int>(*word)); }
    static Sums multiply(Sums sums, Inputs inputs, const uint32_t* weights) {
        __asm__("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(_mm512_loadu_si512(weights)));
        return sums;
    }
};

// Part of the scalar product of a query and a key of 64 bfloat16: its sum over the lanes is the product.
struct Query {
    __m512bh low, high;
    explicit Query(const bfloat16* p)
        : low((__m512bh)_mm512_loadu_si512(p)), high((__m512bh)_mm512_loadu_si512(p + 32)) {}
    Floats times(const bfloat16* key) const {
        const Floats sums = _mm512_dpbf16_ps(_mm512_setzero_ps(), low, (__m512bh)_mm512_loadu_si512(key));
        return _mm512_dpbf16_ps(sums, high, (__m512bh)_mm512_loadu_si512(key + 32));
    }
};
#endif

}  // namespace IFW_LEVEL
