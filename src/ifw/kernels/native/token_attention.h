// What the attention of a head says about where tokens are heard: normalised over the tokens, smoothed over time.
#pragma once
#include <float.h>

#include "scratch.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t REACH = 3;  // positions to both sides that a median looks at
// The exchanges that bring the median of seven values to place 3 (Devillard 1998, after Smith).
constexpr int EXCHANGES[][2] = {{0, 5}, {0, 3}, {1, 6}, {2, 4}, {0, 1}, {3, 5}, {2, 6},
                                {2, 3}, {3, 6}, {4, 5}, {1, 4}, {1, 3}, {3, 4}};

constexpr float UNIT = 0x1p56f;  // what a row sums up to: squares of small weights are numbers still, and sums of large ones

// exp(x) * UNIT / their sum, of a row with room for whole vectors, behind which nothing is left.
inline void softmax_row(float* row, int64_t n) {
    for (int64_t i = n; i % LANES; i++) row[i] = -FLT_MAX;
    Floats most = load(row);
    for (int64_t i = LANES; i < n; i += LANES) most = max(most, load(row + i));
    const Floats largest = all(max_of(most));
    Floats sums = zeros();
    for (int64_t i = 0; i < n; i += LANES) {
        const Floats power = exponential(sub(load(row + i), largest));
        sums = add(sums, power);
        store(row + i, power);
    }
    const Floats factor = all(UNIT / sum_of(sums));
    for (int64_t i = 0; i < n; i += LANES) store(row + i, mul(load(row + i), factor));
}

// The values of a column of vectors, less their mean, in units of their standard deviation. All are taken less the first one:
// where they are equal, nothing is left.
inline void standardise_column(float* column, int64_t n_rows, int64_t stride) {
    const Floats one_nth = all(1.0f / static_cast<float>(n_rows)), first = load(column);
    Floats sum = zeros(), squares = zeros();
    for (int64_t row = 0; row < n_rows; row++) sum = add(sum, sub(load(column + row * stride), first));
    const Floats mean = mul(sum, one_nth);
    for (int64_t row = 0; row < n_rows; row++) {
        const Floats centred = sub(sub(load(column + row * stride), first), mean);
        squares = fma(centred, centred, squares);
        store(column + row * stride, centred);
    }
    const Floats deviation = max(root(mul(squares, one_nth)), all(FLT_MIN * UNIT));
    for (int64_t row = 0; row < n_rows; row++) store(column + row * stride, div(load(column + row * stride), deviation));
}

inline Floats median_of(const float* row) {
    Floats values[2 * REACH + 1];
    for (int i = 0; i < 2 * REACH + 1; i++) values[i] = load(row + i - REACH);
    for (const auto& [low, high] : EXCHANGES) {
        const Floats less = min(values[low], values[high]);
        values[high] = max(values[low], values[high]), values[low] = less;
    }
    return values[REACH];
}

// scores: [n_tokens, n_positions], both at least 1; adds to total, of the same shape.
inline void add_attention(const float* scores, int64_t n_tokens, int64_t n_positions, float* total) {
    static thread_local Scratch memory;
    const int64_t stride = (n_positions + LANES - 1) / LANES * LANES + 2 * LANES;  // room for mirrored ends
    float* const weights = memory.get<float>(n_tokens * stride + 2 * LANES) + LANES;
    for (int64_t token = 0; token < n_tokens; token++) {
        memcpy(weights + token * stride, scores + token * n_positions, sizeof(float) * n_positions);
        softmax_row(weights + token * stride, n_positions);
    }
    for (int64_t i = 0; i < n_positions; i += LANES) standardise_column(weights + i, n_tokens, stride);
    for (int64_t token = 0; token < n_tokens; token++, total += n_positions) {
        float* const row = weights + token * stride;
        const bool is_smoothed = n_positions > REACH;
        if (is_smoothed)
            for (int64_t i = 1; i <= REACH; i++) row[-i] = row[i], row[n_positions - 1 + i] = row[n_positions - 1 - i];
        for (int64_t i = 0; i < n_positions; i += LANES) {
            const Floats values = is_smoothed ? median_of(row + i) : load(row + i);
            if (n_positions - i >= LANES) {
                store(total + i, add(load(total + i), values));
                continue;
            }
            float last[LANES];
            store(last, values);
            for (int64_t k = 0; i + k < n_positions; k++) total[i + k] += last[k];
        }
    }
}

}  // namespace IFW_LEVEL
