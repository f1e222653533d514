// Attention of single queries over a cache: bound by reading keys and values, so each is read once a query, as it is stored.
#pragma once
#include <type_traits>

#include "interface.h"
#include "scratch.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t AHEAD = 128;  // vectors that are prefetched

// Vectors of 64 numbers that lie one behind the other: the keys of a head, or its values. Those of int8 have a scale each.
template <class Number>
struct Vectors {
    static constexpr bool HAS_SCALES = std::is_same<Number, int8_t>::value;
    const Number* numbers;
    const float16* scales;

    const Number* operator[](int64_t i) const { return numbers + i * IFW_HEAD_DIM; }

    // The processor's own prefetching stops where arithmetic lies between the loads.
    void prefetch(int64_t i) const {
        for (size_t byte = 0; byte < IFW_HEAD_DIM * sizeof(Number); byte += 64)
            __builtin_prefetch(reinterpret_cast<const char*>((*this)[i]) + byte);
    }

    // Multiplies the numbers that belong to the n vectors from `first` on by their scales.
    void scale(float* x, int64_t first, int64_t n) const {
        if constexpr (HAS_SCALES) {
            int64_t i = 0;
            for (; i + LANES <= n; i += LANES) store(x + i, mul(load(x + i), load_halves(scales + first + i)));
            for (; i < n; i++) x[i] *= to_float_of_half(scales[first + i]);
        }
    }
};

// Part of the scalar product of a query and a key, whatever they are stored as: its sum over the lanes is the product.
template <class Value>
struct WideQuery {
    Floats parts[IFW_HEAD_DIM / LANES];
    explicit WideQuery(const Value* p) {
        for (int i = 0; i < IFW_HEAD_DIM / LANES; i++) parts[i] = load(p + i * LANES);
    }
    template <class Number>
    Floats times(const Number* key) const {
        Floats sums = mul(parts[0], load(key));
#pragma GCC unroll 8
        for (int i = 1; i < IFW_HEAD_DIM / LANES; i++) sums = fma(parts[i], load(key + i * LANES), sums);
        return sums;
    }
};

template <class Value, class Number>
struct QueryOf {
    using Type = WideQuery<Value>;
};
#ifdef __AVX512BF16__
template <>
struct QueryOf<bfloat16, bfloat16> {
    using Type = Query;
};
#endif

// Scores of n keys; those up to the next multiple of LANES become -inf.
template <class Query, class Number>
inline void score(const Query& query, const Vectors<Number>& keys, const Vectors<Number>& values, int64_t n, float* scores) {
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        Floats products[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            products[i] = query.times(keys[k + i]);
            if (k + AHEAD < n) keys.prefetch(k + i + AHEAD);
            else values.prefetch(k + i + AHEAD - n);
        }
        store(scores + k, sums_of(products));
        keys.scale(scores + k, k, LANES);
    }
    if (k == n) return;
    Floats products[LANES];
    for (int i = 0; i < LANES; i++) products[i] = k + i < n ? query.times(keys[k + i]) : zeros();
    store(scores + k, sums_of(products));
    keys.scale(scores + k, k, n - k);
    for (int64_t i = n; i < k + LANES; i++) scores[i] = -INFINITY;
}

// exp(score - the largest), in place; returns 1 / their sum.
inline float soften_scores(float* scores, int64_t n) {
    Floats largest = all(-INFINITY);
    for (int64_t k = 0; k < n; k += LANES) largest = max(largest, load(scores + k));
    const Floats most = all(max_of(largest));
    Floats sums = zeros();
    for (int64_t k = 0; k < n; k += LANES) {
        const Floats weight = exponential(sub(load(scores + k), most));
        sums = add(sums, weight);
        store(scores + k, weight);
    }
    return 1.0f / sum_of(sums);
}

template <class Number, class Value>
inline void mix(float* weights, float factor, const Vectors<Number>& values, int64_t n, Value* out) {
    values.scale(weights, 0, n);
    constexpr int PARTS = IFW_HEAD_DIM / LANES, AT_ONCE = PARTS > 4 ? 1 : 2;
    Floats sums[AT_ONCE][PARTS];
    for (auto& row : sums)
        for (auto& part : row) part = zeros();
    int64_t k = 0;
    for (; k + AT_ONCE <= n; k += AT_ONCE)
#pragma GCC unroll 2
        for (int i = 0; i < AT_ONCE; i++) {
            values.prefetch(k + i + AHEAD);
#pragma GCC unroll 8
            for (int p = 0; p < PARTS; p++)
                sums[i][p] = fma(all(weights[k + i]), load(values[k + i] + p * LANES), sums[i][p]);
        }
    for (; k < n; k++)
        for (int p = 0; p < PARTS; p++)
            sums[0][p] = fma(all(weights[k]), load(values[k] + p * LANES), sums[0][p]);
    for (int p = 0; p < PARTS; p++) {
        const Floats sum = AT_ONCE == 2 ? add(sums[0][p], sums[AT_ONCE - 1][p]) : sums[0][p];
        store(out + p * LANES, mul(sum, all(factor)));
    }
}

// One query at n keys of its head.
template <class Value, class Number>
inline void attend(const Value* query, const Vectors<Number>& keys, const Vectors<Number>& values, int64_t n, Value* out) {
    static thread_local Scratch memory;
    float* scores = memory.get<float>(n + LANES);
    score(typename QueryOf<Value, Number>::Type(query), keys, values, n, scores);
    const float factor = soften_scores(scores, n);
    mix(scores, factor, values, n, out);
}

template <class Value>
inline void attend(const Value* query, const Value* keys, const Value* values, int64_t n, Value* out) {
    attend(query, Vectors<Value>{keys, nullptr}, Vectors<Value>{values, nullptr}, n, out);
}

constexpr int64_t QUERIES_PER_ITEM = 16;

template <class Value>
void decode_attention_of(const IfwTeam& team, const IfwCache& cache, const Value* query, int64_t query_stride,
                         int64_t n_queries, const int64_t* positions, Value* out) {
    const int64_t n_parts = divide_up(n_queries, QUERIES_PER_ITEM);
    for_each_item(team, cache.n_groups * cache.n_heads * n_parts, [&](int64_t item) {
        const int64_t part = item % n_parts, head = item / n_parts % cache.n_heads;
        const int64_t group = item / n_parts / cache.n_heads;
        const int64_t start = group * cache.group_stride + head * cache.head_stride;
        const Value* keys = static_cast<const Value*>(cache.keys) + start;
        const Value* values = static_cast<const Value*>(cache.values) + start;
        const int64_t first = part * QUERIES_PER_ITEM;
        const int64_t end = first + QUERIES_PER_ITEM < n_queries ? first + QUERIES_PER_ITEM : n_queries;
        for (int64_t q = first; q < end; q++) {
            const int64_t row = group * n_queries + q;
            const int64_t n = positions == nullptr ? cache.n_keys : positions[row] + 1;
            attend(query + row * query_stride + head * IFW_HEAD_DIM, keys, values, n,
                   out + (row * cache.n_heads + head) * IFW_HEAD_DIM);
        }
    });
}

inline int32_t decode_attention(const IfwTeam* team, const IfwCache* cache, const void* query, int64_t query_stride,
                                int64_t n_queries, const int64_t* positions, void* out) {
    if (positions != nullptr)
        for (int64_t i = 0; i < cache->n_groups * n_queries; i++)
            if (positions[i] < 0 || positions[i] >= cache->n_keys) return -1;
    if (cache->type == IFW_FLOAT32)
        decode_attention_of(*team, *cache, static_cast<const float*>(query), query_stride, n_queries, positions,
                            static_cast<float*>(out));
    else
        decode_attention_of(*team, *cache, static_cast<const bfloat16*>(query), query_stride, n_queries, positions,
                            static_cast<bfloat16*>(out));
    return 0;
}

}  // namespace IFW_LEVEL
