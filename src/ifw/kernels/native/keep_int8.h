// Keys and values on their way into a cache of int8.
#pragma once
#include "interface.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr float LEAST_SCALE = 0x1p-24f;  // that float16 can hold
constexpr int64_t TOKENS_PER_ITEM = 32;
constexpr int64_t MULTIPLICATIONS = 8;  // that a number takes as long as

// Rounds one vector. Where a number is not finite, the scale is not.
template <class Value>
inline void keep_vector(const Value* x, int8_t* numbers, float16* scale) {
    constexpr int PARTS = IFW_HEAD_DIM / LANES;
    Floats parts[PARTS], largest = zeros(), check = zeros();
    for (int i = 0; i < PARTS; i++) {
        parts[i] = load(x + i * LANES);
        largest = max(largest, magnitude(parts[i]));
        check = fma(parts[i], zeros(), check);  // 0, or NaN
    }
    const float wanted = max_of(largest) / 127.0f + LEAST_SCALE / 2;
    *scale = to_half((wanted < LEAST_SCALE ? LEAST_SCALE : wanted) + sum_of(check));
    const Floats step = all(to_float_of_half(*scale)), most = all(127.0f), least = all(-127.0f);
    for (int i = 0; i < PARTS; i++)
        Int8::store(reinterpret_cast<uint8_t*>(numbers) + i * LANES, max(least, min(most, div(parts[i], step))), 0);
}

template <class Value>
void keep_int8_of(const IfwTeam& team, const Value* x, int64_t x_stride, int64_t n_tokens, const IfwInt8Vectors& out) {
    const IfwTeam chosen = team_for(team, MULTIPLICATIONS * n_tokens * out.n_outer * out.n_inner * IFW_HEAD_DIM);
    for_each_item(chosen, divide_up(n_tokens, TOKENS_PER_ITEM), [&](int64_t item) {
        const int64_t first = item * TOKENS_PER_ITEM;
        const int64_t end = first + TOKENS_PER_ITEM < n_tokens ? first + TOKENS_PER_ITEM : n_tokens;
        for (int64_t outer = 0; outer < out.n_outer; outer++)
            for (int64_t inner = 0; inner < out.n_inner; inner++) {
                const int64_t vector = outer * out.outer_stride + inner * out.inner_stride;
                const Value* from = x + (outer * out.n_inner + inner) * IFW_HEAD_DIM;
                for (int64_t token = first; token < end; token++)
                    keep_vector(from + token * x_stride, out.numbers + (vector + token) * IFW_HEAD_DIM,
                                static_cast<float16*>(out.scales) + vector + token);
            }
    });
}

inline void keep_int8(const IfwTeam* team, const void* x, int64_t x_stride, int32_t type, int64_t n_tokens,
                      const IfwInt8Vectors* out) {
    if (type == IFW_FLOAT32)
        keep_int8_of(*team, static_cast<const float*>(x), x_stride, n_tokens, *out);
    else
        keep_int8_of(*team, static_cast<const bfloat16*>(x), x_stride, n_tokens, *out);
}

}  // namespace IFW_LEVEL
