// The vectors of this level, what it lacks filled in, and the functions made of them.
#pragma once
#ifdef __AVX512F__
#include "vector_avx512.h"
#else
#include "vector_avx2.h"
#endif

namespace IFW_LEVEL {

inline float to_float(float x) { return x; }
inline float to_float(bfloat16 x) {
    const uint32_t bits = static_cast<uint32_t>(x) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
inline float to_float_of_half(float16 x) { return _cvtsh_ss(x.bits); }
inline float16 to_half(float x) { return {_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT)}; }
inline void from_float(float* p, float x) { *p = x; }
inline void from_float(bfloat16* p, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    *p = x != x ? 0x7fc0 : static_cast<bfloat16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Products of float32: one a word.
struct Float32 {
    using Sums = Floats;
    using Inputs = Floats;
    using Value = float;
    static constexpr int WORD_VALUES = 1;
    static Sums zeros() { return all(0.0f); }
    static Inputs broadcast(const uint32_t* word) { return all(*reinterpret_cast<const float*>(word)); }
    static Sums multiply(Sums sums, Inputs inputs, const uint32_t* weights) {
        return fma(inputs, load(reinterpret_cast<const float*>(weights)), sums);
    }
};

// How values are multiplied that are stored as Value.
template <class Value>
struct KindOf {
    using Type = Float32;
};
#ifdef IFW_HAS_BFLOAT16
template <>
struct KindOf<bfloat16> {
    using Type = Bfloat16;
};
#endif

// exp(x) for x of at most 88, to 3e-7 of it; NaN stays NaN, and below 2^-126 it is 0 or nearly so.
inline Floats exponential(Floats x) {
    const Floats t = mul(max(all(-104.0f), x), all(1.44269504f));
    const Floats n = nearest(t), r = sub(t, n);
    Floats p = fma(all(0.001327647129f), r, all(0.009675541893f));
    p = fma(p, r, all(0.055507130921f));
    p = fma(p, r, all(0.240221202374f));
    p = fma(p, r, all(0.693146944046f));
    p = fma(p, r, all(1.0f));
    return scale_by_power(p, n);
}

// The same to 8e-5: for weights that are rounded to bfloat16 afterwards.
inline Floats rough_exponential(Floats x) {
    const Floats t = mul(max(all(-87.0f), x), all(1.44269504f));
    const Floats n = nearest(t), r = sub(t, n);
    Floats p = fma(all(0.0551716648042f), r, all(0.2426111400127f));
    p = fma(p, r, all(0.6932609677315f));
    p = fma(p, r, all(0.9999280571938f));
    return scale_by_power(p, n);
}

// x / 2 * (1 + erf(x / sqrt 2)); erf to 1.5e-7 by Abramowitz and Stegun 7.1.26.
inline Floats gelu(Floats x) {
    const Floats z = mul(magnitude(x), all(0.70710678f));
    const Floats t = div(all(1.0f), fma(all(0.3275911f), z, all(1.0f)));
    Floats p = fma(all(1.061405429f), t, all(-1.453152027f));
    p = fma(p, t, all(1.421413741f));
    p = fma(p, t, all(-0.284496736f));
    p = mul(fma(p, t, all(0.254829592f)), t);
    const Floats erf = sub(all(1.0f), mul(p, exponential(sub(all(0.0f), mul(z, z)))));
    return mul(mul(all(0.5f), x), add(all(1.0f), copy_sign(erf, x)));
}

}  // namespace IFW_LEVEL
