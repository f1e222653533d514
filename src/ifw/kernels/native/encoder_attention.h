// Attention of every position to every other, head by head: keys and values are packed once, then ROWS queries at a time have
// all their scores in the cache, so that the softmax is that of whole rows.
#pragma once
#include "interface.h"
#include "multiply.h"
#include "scratch.h"
#include "team.h"

namespace IFW_LEVEL {

// One head of one window.
template <class Value>
struct Head {
    using Kind = typename KindOf<Value>::Type;
    using Word = typename Kind::Value;
    static constexpr int HEAD_WORDS = IFW_HEAD_DIM / Kind::WORD_VALUES;
    static constexpr bool IS_FLOAT32 = Kind::WORD_VALUES == 1;

    const Value* query;  // [n_positions, ...], `stride` values from one position to the next
    const Value* key;
    const Value* value;
    int64_t stride, n_positions;

    int64_t n_padded() const { return round_up(n_positions, PANEL > 16 ? PANEL : 16); }
    int64_t key_words() const { return n_padded() / Kind::WORD_VALUES; }

    // Keys as panels of PANEL keys, the head's values in words.
    void pack_keys(uint32_t* packed) const {
        for (int64_t k = 0; k < n_padded(); k++) {
            uint32_t* to = packed + k / PANEL * PANEL * HEAD_WORDS + k % PANEL;
            uint32_t words[HEAD_WORDS] = {};
            if (k < n_positions)
                for (int d = 0; d < IFW_HEAD_DIM; d += LANES)
                    store(reinterpret_cast<Word*>(words) + d, load(key + k * stride + d));
            for (int word = 0; word < HEAD_WORDS; word++) to[word * PANEL] = words[word];
        }
    }

    // Values as panels of PANEL columns of the head, the keys in words.
    void pack_values(uint32_t* packed) const {
        for (int64_t word = 0; word < key_words(); word++) {
            uint32_t words[IFW_HEAD_DIM] = {};
            for (int i = 0; i < Kind::WORD_VALUES; i++) {
                const int64_t k = word * Kind::WORD_VALUES + i;
                if (k >= n_positions) continue;
                if constexpr (IS_FLOAT32)
                    for (int d = 0; d < IFW_HEAD_DIM; d += LANES)
                        store(reinterpret_cast<float*>(words) + d, load(value + k * stride + d));
                else
                    for (int d = 0; d < IFW_HEAD_DIM; d++)
                        words[d] |= static_cast<uint32_t>(value[k * stride + d]) << (16 * i);
            }
            for (int panel = 0; panel < IFW_HEAD_DIM / PANEL; panel++)
                memcpy(packed + (panel * key_words() + word) * PANEL, words + panel * PANEL, PANEL * sizeof(uint32_t));
        }
    }
};

// Turns scores of n keys, padded, into weights that sum to 1 / the result.
template <class Weight>
inline float soften(float* scores, int64_t n, int64_t n_padded, Weight* weights) {
    for (int64_t k = n; k < n_padded; k++) scores[k] = -INFINITY;
    Floats largest = all(-INFINITY), other = largest;
    for (int64_t k = 0; k < n_padded; k += 2 * LANES) {
        largest = max(largest, load(scores + k));
        other = max(other, load(scores + k + LANES));
    }
    const Floats most = all(max_of(max(largest, other)));
    Floats sums = zeros(), others = sums;
    for (int64_t k = 0; k < n_padded; k += 2 * LANES) {
        const Floats low = sub(load(scores + k), most), high = sub(load(scores + k + LANES), most);
        const bool is_rough = sizeof(Weight) == 2;
        const Floats a = is_rough ? rough_exponential(low) : exponential(low);
        const Floats b = is_rough ? rough_exponential(high) : exponential(high);
        sums = add(sums, a);
        others = add(others, b);
        store(weights + k, a);
        store(weights + k + LANES, b);
    }
    return 1.0f / sum_of(add(sums, others));
}

// Queries from `first` to before `end` of a head whose keys and values are packed.
template <class Value>
void attend_rows(const Head<Value>& head, int64_t first, int64_t end, const uint32_t* keys, const uint32_t* values,
                 Value* out, int64_t out_stride) {
    using Kind = typename Head<Value>::Kind;
    using Word = typename Head<Value>::Word;
    static thread_local Scratch memory;
    const int64_t n_padded = head.n_padded(), key_words = head.key_words();
    constexpr int HEAD_WORDS = Head<Value>::HEAD_WORDS;
    float* scores = memory.get<float>(ROWS * (2 * n_padded + IFW_HEAD_DIM));
    auto* weights = reinterpret_cast<uint32_t*>(scores + ROWS * n_padded);
    auto* queries = weights + ROWS * key_words;
    for (int64_t row = first; row < end; row += ROWS) {
        const int64_t n_rows = end - row < ROWS ? end - row : ROWS;
        for (int64_t r = 0; r < n_rows; r++)
            for (int d = 0; d < IFW_HEAD_DIM; d += LANES)
                store(reinterpret_cast<Word*>(queries + r * HEAD_WORDS) + d,
                      load(head.query + (row + r) * head.stride + d));
        for (int64_t panel = 0; panel < n_padded / PANEL; panel++)
            multiply<Kind>(queries, HEAD_WORDS, 0, n_rows, keys + panel * PANEL * HEAD_WORDS, HEAD_WORDS,
                            [&](int64_t from, const auto& sums) {
                                const int count = sizeof(sums) / sizeof(sums[0]);
                                for (int r = 0; r < count; r++)
                                    for (int v = 0; v < VECTORS; v++)
                                        store(scores + (from + r) * n_padded + panel * PANEL + v * LANES, sums[r][v]);
                            });
        float factors[ROWS];
        for (int64_t r = 0; r < n_rows; r++)
            factors[r] = soften(scores + r * n_padded, head.n_positions, n_padded,
                                reinterpret_cast<Word*>(weights + r * key_words));
        for (int64_t panel = 0; panel < IFW_HEAD_DIM / PANEL; panel++)
            multiply<Kind>(weights, key_words, 0, n_rows, values + panel * PANEL * key_words, key_words,
                            [&](int64_t from, const auto& sums) {
                                const int count = sizeof(sums) / sizeof(sums[0]);
                                for (int r = 0; r < count; r++)
                                    for (int v = 0; v < VECTORS; v++)
                                        store(out + (row + from + r) * out_stride + panel * PANEL + v * LANES,
                                              mul(sums[r][v], all(factors[from + r])));
                            });
    }
}

constexpr int64_t ITEMS_PER_THREAD = 4;  // of attention, so that threads end at about the same time

template <class Value>
void encoder_attention_of(const IfwTeam& team, const Value* qkv, Value* out, int64_t n_windows, int64_t n_positions,
                          int64_t n_heads) {
    const int64_t width = n_heads * IFW_HEAD_DIM, n_whole = n_windows * n_heads;
    const int64_t n_parts = team.n_threads <= 1 ? 1 : divide_up(ITEMS_PER_THREAD * team.n_threads, n_whole);
    const int64_t part = round_up(divide_up(n_positions, n_parts), ROWS);
    for_each_item(team, n_whole * n_parts, [&](int64_t item) {
        static thread_local Scratch memory;
        const int64_t first = item % n_parts * part, end = first + part < n_positions ? first + part : n_positions;
        if (first >= end) return;
        const int64_t window = item / n_parts / n_heads, head_index = item / n_parts % n_heads;
        const Value* start = qkv + window * n_positions * 3 * width + head_index * IFW_HEAD_DIM;
        const Head<Value> head{start, start + width, start + 2 * width, 3 * width, n_positions};
        const int64_t n_words = head.n_padded() * Head<Value>::HEAD_WORDS;
        auto* keys = memory.get<uint32_t>(2 * n_words);
        head.pack_keys(keys);
        head.pack_values(keys + n_words);
        attend_rows(head, first, end, keys, keys + n_words,
                    out + window * n_positions * width + head_index * IFW_HEAD_DIM, width);
    });
}

inline void encoder_attention(const IfwTeam* team, const void* qkv, void* out, int64_t n_windows, int64_t n_positions,
                              int64_t n_heads, int32_t type) {
    if (type == IFW_FLOAT32)
        encoder_attention_of(*team, static_cast<const float*>(qkv), static_cast<float*>(out), n_windows, n_positions,
                             n_heads);
    else
        encoder_attention_of(*team, static_cast<const bfloat16*>(qkv), static_cast<bfloat16*>(out), n_windows,
                             n_positions, n_heads);
}

}  // namespace IFW_LEVEL
