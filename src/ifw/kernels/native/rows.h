// Rows of activations on their way into a product: loaded, normalised if asked, quantised or rounded, padded with zeros.
#pragma once
#include "interface.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t ROW_STEP = 64;  // rows are padded to a multiple of this many values

// Loads n values as float32 and pads them with zeros.
template <class Value>
inline void load_row(const Value* x, int64_t n, float* row) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(row + i, load(x + i));
    for (; i < n; i++) row[i] = to_float(x[i]);
    for (const int64_t end = round_up(n, ROW_STEP); i < end; i++) row[i] = 0;
}

// Layer normalisation in place, in two passes as torch does it; the padding stays zero.
inline void normalise_row(float* row, int64_t n, const IfwNorm& norm) {
    const int64_t whole = n / LANES * LANES;
    Floats sums = zeros();
    for (int64_t i = 0; i < whole; i += LANES) sums = add(sums, load(row + i));
    float sum = sum_of(sums);
    for (int64_t i = whole; i < n; i++) sum += row[i];
    const float mean = sum / static_cast<float>(n);
    Floats squares = zeros();
    for (int64_t i = 0; i < whole; i += LANES) {
        const Floats centred = sub(load(row + i), all(mean));
        squares = fma(centred, centred, squares);
    }
    float square = sum_of(squares);
    for (int64_t i = whole; i < n; i++) square += (row[i] - mean) * (row[i] - mean);
    const float factor = 1.0f / sqrtf(square / static_cast<float>(n) + norm.epsilon);
    for (int64_t i = 0; i < whole; i += LANES) {
        const Floats normal = mul(sub(load(row + i), all(mean)), all(factor));
        store(row + i, fma(normal, load(norm.weight + i), load(norm.bias + i)));
    }
    for (int64_t i = whole; i < n; i++) row[i] = (row[i] - mean) * factor * norm.weight[i] + norm.bias[i];
}

// Quantises a padded row symmetrically to [-127, 127], and adds zero_point; returns the size of a step, NaN where a value is
// not finite.
inline float quantise_row(const float* row, int64_t n, uint8_t* quantised, int zero_point) {
    const int64_t end = round_up(n, ROW_STEP);
    Floats largest = zeros(), check = zeros();
    for (int64_t i = 0; i < end; i += LANES) {
        const Floats x = load(row + i);
        largest = max(largest, magnitude(x));
        check = fma(x, zeros(), check);  // 0, or NaN
    }
    const float most = fmaxf(max_of(largest), 1e-30f);
    const Floats factor = all(127.0f / most);
    for (int64_t i = 0; i < end; i += LANES) Int8::store(quantised + i, mul(load(row + i), factor), zero_point);
    return most / 127.0f + sum_of(check);
}

// A row on its way into a product of this kind: its words, and the size of a step for int8.
template <class Kind, class Value>
inline float prepare_row(const Value* x, int64_t n, const IfwNorm* norm, float* row, uint32_t* words, int zero_point) {
    load_row(x, n, row);
    if (norm != nullptr) normalise_row(row, n, *norm);
    if constexpr (Kind::WORD_VALUES == 4) {
        return quantise_row(row, n, reinterpret_cast<uint8_t*>(words), zero_point);
    } else {
        auto* values = reinterpret_cast<typename Kind::Value*>(words);
        for (int64_t i = 0; i < round_up(n, ROW_STEP); i += LANES) store(values + i, load(row + i));
        return 1.0f;
    }
}

}  // namespace IFW_LEVEL
