// The front of a segmentation network: band-pass filters, and two convolutions along time, each pooled and normalised.
//
// Lanes are channels, rows are places in time, so that pooling, norms and the inputs of a convolution are plain rows.
#pragma once
#include "interface.h"
#include "multiply.h"
#include "scratch.h"
#include "team.h"

namespace IFW_LEVEL {

constexpr int64_t BANDS = IFW_BANDS, HALF = IFW_FILTER_SAMPLES / 2, POOL = 3, KERNEL = 5;
constexpr int64_t FILTER_COLUMNS = (BANDS + LANES - 1) / LANES * LANES;  // of a half of the filters, as it is packed
constexpr int64_t FILTERED_STRIDE = BANDS + FILTER_COLUMNS;              // floats from one row of filtered samples to the next
constexpr int64_t HALF_FLOATS = (HALF + 1 + LANES - 1) / LANES * LANES;
constexpr int64_t BLOCK = 32;  // rows whose sums are made before they join the others

// Sums of `use(i)` for 0 <= i < n, in blocks, so that large sums do not swallow small values.
template <class Use>
inline Floats sum_in_blocks(int64_t n, const Use& use) {
    Floats total = zeros();
    for (int64_t first = 0; first < n; first += BLOCK) {
        Floats sum = zeros();
        for (int64_t i = first; i < n && i < first + BLOCK; i++) sum = add(sum, use(i));
        total = add(total, sum);
    }
    return total;
}

// What a chunk is multiplied by, and what is added, for mean 0 and variance 1, then the weight and bias of the norm.
struct Scale {
    float factor, shift;
};

inline Scale scale_of(const IfwSincNet& net, const float* samples, int64_t n) {
    const int64_t whole = n / LANES;
    float sum = sum_of(sum_in_blocks(whole, [&](int64_t i) { return load(samples + i * LANES); }));
    for (int64_t i = whole * LANES; i < n; i++) sum += samples[i];
    const float mean = sum / static_cast<float>(n);
    float square = sum_of(sum_in_blocks(whole, [&](int64_t i) {
        const Floats centred = sub(load(samples + i * LANES), all(mean));
        return mul(centred, centred);
    }));
    for (int64_t i = whole * LANES; i < n; i++) square += (samples[i] - mean) * (samples[i] - mean);
    const float factor = net.norm_weight / sqrtf(square / static_cast<float>(n) + net.epsilon);
    return {factor, net.norm_bias - mean * factor};
}

// Sums and differences of the samples that the two halves of a filter hear.
inline void fold(const float* samples, float* sums, float* differences) {
    for (int64_t i = 0; i < HALF; i += LANES) {  // what is too much is not used
        const Floats left = load(samples + i), right = reversed(load(samples + 2 * HALF - i - (LANES - 1)));
        store(sums + i, add(left, right)), store(differences + i, sub(left, right));
    }
    sums[HALF] = samples[HALF];
}

constexpr int FILTER_VECTORS = FILTER_COLUMNS / LANES, FILTER_ROWS = 24 / FILTER_VECTORS < 8 ? 2 : 8;

template <int N_ROWS>
inline void filter_rows(const float* folded, const float* weights, int64_t n, float* to) {
    Floats sums[N_ROWS][FILTER_VECTORS];
#pragma GCC unroll 8
    for (int row = 0; row < N_ROWS; row++)
#pragma GCC unroll 5
        for (int v = 0; v < FILTER_VECTORS; v++) sums[row][v] = zeros();
    for (int64_t i = 0; i < n; i++, weights += FILTER_COLUMNS) {
        Floats w[FILTER_VECTORS];
#pragma GCC unroll 5
        for (int v = 0; v < FILTER_VECTORS; v++) w[v] = load(weights + v * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < N_ROWS; row++) {
            const Floats x = all(folded[row * 2 * HALF_FLOATS + i]);
#pragma GCC unroll 5
            for (int v = 0; v < FILTER_VECTORS; v++) sums[row][v] = fma(x, w[v], sums[row][v]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < N_ROWS; row++)
#pragma GCC unroll 5
        for (int v = 0; v < FILTER_VECTORS; v++) store(to + row * FILTERED_STRIDE + v * LANES, sums[row][v]);
}

// Every filter at n places, `stride` samples apart -> [n, FILTERED_STRIDE], of which the first 2 * BANDS values count.
inline void filter(const IfwSincNet& net, const float* samples, int64_t n, float* to) {
    alignas(64) float folded[FILTER_ROWS * 2 * HALF_FLOATS];
    for (int64_t first = 0; first < n; first += FILTER_ROWS) {
        const int64_t n_rows = n - first < FILTER_ROWS ? n - first : FILTER_ROWS;
        Crew::lend_a_hand();
        for (int64_t row = 0; row < n_rows; row++) {
            float* const sums = folded + row * 2 * HALF_FLOATS;
            fold(samples + (first + row) * net.stride, sums, sums + HALF_FLOATS);
        }
        float* const row = to + first * FILTERED_STRIDE;
        if (n_rows == FILTER_ROWS) {
            filter_rows<FILTER_ROWS>(folded, net.even_filters, HALF + 1, row);
            filter_rows<FILTER_ROWS>(folded + HALF_FLOATS, net.odd_filters, HALF, row + BANDS);
            continue;
        }
        for (int64_t i = 0; i < n_rows; i++) {
            const float* const sums = folded + i * 2 * HALF_FLOATS;
            filter_rows<1>(sums, net.even_filters, HALF + 1, row + i * FILTERED_STRIDE);
            filter_rows<1>(sums + HALF_FLOATS, net.odd_filters, HALF, row + i * FILTERED_STRIDE + BANDS);
        }
    }
}

// The largest of every three rows, of what change(values, column) makes of them. What is written behind a row belongs to the
// next one, or is room.
template <class Change>
inline void pool_rows(const float* x, int64_t stride, int64_t n_out, int64_t width, float* y, const Change& change) {
    for (int64_t row = 0; row < n_out; row++, x += POOL * stride, y += width)
        for (int64_t column = 0; column < width; column += LANES) {
            Floats most = change(load(x + column), column);
            for (int64_t i = 1; i < POOL; i++) most = max(most, change(load(x + i * stride + column), column));
            store(y + column, most);
        }
}

// Mean 0 and variance 1 in each column, then weight, bias and a leaky ReLU. x and y: [n, width], room behind.
inline void normalise_columns(const IfwColumnNorm& norm, float epsilon, const float* x, int64_t n, int64_t width, float* y) {
    alignas(64) float factors[2 * BANDS + LANES], shifts[2 * BANDS + LANES];
    const Floats one_nth = all(1.0f / static_cast<float>(n));
    for (int64_t column = 0; column < width; column += LANES) {
        const float* const from = x + column;
        const Floats mean = mul(sum_in_blocks(n, [&](int64_t i) { return load(from + i * width); }), one_nth);
        const Floats square = sum_in_blocks(n, [&](int64_t i) {
            const Floats centred = sub(load(from + i * width), mean);
            return mul(centred, centred);
        });
        const Floats factor = div(load(norm.weight + column), root(fma(square, one_nth, all(epsilon))));
        store(factors + column, factor), store(shifts + column, sub(load(norm.bias + column), mul(mean, factor)));
    }
    for (int64_t row = 0; row < n; row++, x += width, y += width)
        for (int64_t column = 0; column < width; column += LANES) {
            const Floats normal = fma(load(x + column), load(factors + column), load(shifts + column));
            store(y + column, max(normal, mul(normal, all(0.01f))));
        }
}

// A convolution over KERNEL rows without padding: [n, width] -> [n - KERNEL + 1, n_out padded], n_out of one layer.
inline void convolve_rows(const IfwLinear& layer, const float* x, int64_t n, int64_t width, float* y) {
    const int64_t stride = round_up(layer.n_out, PANEL), n_words = KERNEL * width;
    for (int64_t panel = 0; panel < stride; panel += PANEL)
        multiply<Float32>(reinterpret_cast<const uint32_t*>(x), width, 0, n - KERNEL + 1,
                          static_cast<const uint32_t*>(layer.weight) + panel * n_words, n_words,
                          [&](int64_t first_row, const auto& sums) {
                              int64_t row = first_row;
                              for (const auto& values : sums) {
                                  for (int v = 0; v < VECTORS; v++)
                                      store(y + row * stride + panel + v * LANES,
                                            add(values[v], load(layer.bias + panel + v * LANES)));
                                  row++;
                              }
                          });
}

// Rows of a chunk behind each pooling.
struct SincRows {
    int64_t filtered, pooled[3];

    SincRows(const IfwSincNet& net, int64_t chunk_samples) {
        filtered = (chunk_samples - IFW_FILTER_SAMPLES) / net.stride + 1;
        pooled[0] = filtered / POOL;
        for (int i = 1; i < 3; i++) pooled[i] = pooled[i - 1] < KERNEL ? 0 : (pooled[i - 1] - KERNEL + 1) / POOL;
    }

    // Floats that hold the rows of any step.
    int64_t room(int64_t width) const { return pooled[0] * round_up(width > 2 * BANDS ? width : 2 * BANDS, PANEL) + PANEL; }
};

// Features of one chunk, whose samples were filtered already: [rows, width].
inline void sinc_net_of_one(const IfwSincNet& net, const SincRows& rows, const float* filtered, const Scale& scale,
                            float* memory, float* features) {
    const int64_t width = net.convolutions[0].n_out;
    float *a = memory, *b = memory + rows.room(width);
    const Floats factor = all(scale.factor), shift = all(scale.shift);
    pool_rows(filtered, FILTERED_STRIDE, rows.pooled[0], 2 * BANDS, a, [&](Floats x, int64_t column) {
        return magnitude(fma(x, factor, mul(shift, load(net.filter_sums + column))));
    });
    normalise_columns(net.norms[0], net.epsilon, a, rows.pooled[0], 2 * BANDS, b);
    for (int i = 0; i < 2; i++) {
        const IfwLinear& layer = net.convolutions[i];
        const int64_t stride = round_up(layer.n_out, PANEL), n = rows.pooled[i + 1];
        convolve_rows(layer, b, rows.pooled[i], layer.n_in / KERNEL, a);
        pool_rows(a, stride, n, width, b, [](Floats x, int64_t) { return x; });
        normalise_columns(net.norms[i + 1], net.epsilon, b, n, width, a);
        if (i == 1) memcpy(features, a, sizeof(float) * n * width);
        float* const free = b;
        b = a, a = free;
    }
}

inline void sinc_net(const IfwSincNet* net, const float* samples, int64_t n_chunks, int64_t chunk_samples,
                     int64_t step_samples, float* features) {
    const Crew::Volunteer volunteer;
    static thread_local Scratch memory;
    const SincRows rows(*net, chunk_samples);
    const int64_t width = net->convolutions[0].n_out, step = step_samples / net->stride;
    const int64_t n_filtered = rows.filtered + (n_chunks - 1) * step;
    float* filtered = memory.get<float>(n_filtered * FILTERED_STRIDE + 2 * LANES + 2 * rows.room(width));
    float* room = filtered + round_up(n_filtered * FILTERED_STRIDE + LANES, LANES);
    filter(*net, samples, n_filtered, filtered);
    for (int64_t i = 0; i < n_chunks; i++) {
        Crew::lend_a_hand();
        sinc_net_of_one(*net, rows, filtered + i * step * FILTERED_STRIDE,
                        scale_of(*net, samples + i * step_samples, chunk_samples), room,
                        features + i * rows.pooled[2] * width);
    }
}

}  // namespace IFW_LEVEL
