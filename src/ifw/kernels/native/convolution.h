// Convolutions over images of rows, for the trunk of a residual network: 3 x 3 with stride 1 as Winograd's F(2 x 2, 3 x 3),
// which needs 16 products where the plain way needs 36; 3 x 3 and 1 x 1 with stride 2 the plain way.
//
// Lanes are columns. A row is kept as two planes, its even columns and its odd ones: so both ways load and store whole vectors.
#pragma once
#include "interface.h"
#include "scratch.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t MOST_VECTORS = 3;  // columns of a tile group, in vectors: with CHANNELS outputs they fill the registers
constexpr int64_t POINTS = 16;       // of a transformed tile
constexpr int64_t MAX_TRANSFORMED_BYTES = 384 << 10;  // of inputs at once: beside weights in the second-level cache

// [n_channels, n_rows, width]. Planes have zeros on both sides, and behind the last column.
struct Image {
    float* data;
    int64_t n_channels, n_rows, width;

    int64_t n_vectors() const { return divide_up(divide_up(width, 2), LANES); }  // of a plane
    int64_t plane() const { return (n_vectors() + 1) * LANES; }
    int64_t n_planes() const { return n_channels * n_rows * 2; }
    int64_t size() const { return n_planes() * plane() + 4 * LANES; }
    float* at(int64_t channel, int64_t row, int64_t parity) const {
        return data + LANES + ((channel * n_rows + row) * 2 + parity) * plane();
    }

    void clear_margins() const {
        for (int64_t i = 0; i < n_planes(); i++) store(data + i * plane(), zeros());
        for (int64_t i = 0; i < 4; i++) store(data + n_planes() * plane() + i * LANES, zeros());
    }

    // Stores vector number `vector` of a plane, with zeros behind the last column.
    void put(int64_t channel, int64_t row, int64_t parity, int64_t vector, Floats x) const {
        const int64_t n = (width + 1 - parity) / 2 - vector * LANES;
        store(at(channel, row, parity) + vector * LANES, n < LANES ? first_of(x, static_cast<int>(n < 0 ? 0 : n)) : x);
    }
};

// What becomes of the sums of a convolution: the bias, then what is there already if asked, then no negative values if asked.
struct Ending {
    const float* bias;
    bool is_added;  // to what the image holds
    bool is_relu;

    Floats operator()(Floats sums, const float* present) const {
        if (is_added) sums = add(sums, load(present));
        return is_relu ? max(sums, zeros()) : sums;
    }
};

// Some tiles of 2 x 2 outputs: those of n_vectors vectors in one row of tiles.
struct TileGroup {
    int64_t row, first_vector, n_vectors;
};

inline TileGroup tile_group(const Image& image, int64_t index, int64_t groups_of_row) {
    const int64_t part = index % groups_of_row, n = image.n_vectors();
    const int64_t first = part * n / groups_of_row;
    return {index / groups_of_row, first, (part + 1) * n / groups_of_row - first};
}

// Floats from one point of transformed inputs to the next; a line more than they need, so that points share no cache set.
inline int64_t point_stride(int64_t n_in) { return (n_in * MOST_VECTORS + 1) * LANES; }

inline void transform_inputs(const Image& in, const TileGroup& group, const float* nothing, float* to) {
    const int64_t stride = point_stride(in.n_channels);
    for (int64_t channel = 0; channel < in.n_channels; channel++) {
        const float *even[4], *odd[4];
        for (int64_t i = 0; i < 4; i++) {
            const int64_t row = 2 * group.row - 1 + i;
            const bool is_there = row >= 0 && row < in.n_rows;
            even[i] = is_there ? in.at(channel, row, 0) : nothing;
            odd[i] = is_there ? in.at(channel, row, 1) : nothing;
        }
        for (int64_t v = 0; v < group.n_vectors; v++, to += LANES) {
            const int64_t place = (group.first_vector + v) * LANES;
            Floats t[4][4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                t[i][0] = load(odd[i] + place - 1), t[i][1] = load(even[i] + place);
                t[i][2] = load(odd[i] + place), t[i][3] = load(even[i] + place + 1);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const Floats a = t[0][i], b = t[1][i], c = t[2][i], d = t[3][i];
                t[0][i] = sub(a, c), t[1][i] = add(b, c), t[2][i] = sub(c, b), t[3][i] = sub(b, d);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const Floats a = t[i][0], b = t[i][1], c = t[i][2], d = t[i][3];
                store(to + (4 * i + 0) * stride, sub(a, c));
                store(to + (4 * i + 1) * stride, add(b, c));
                store(to + (4 * i + 2) * stride, sub(c, b));
                store(to + (4 * i + 3) * stride, sub(b, d));
            }
        }
    }
}

// CHANNELS outputs of one point: weights [n_in, CHANNELS], inputs [n_in, N vectors] -> to [CHANNELS, N vectors].
template <int N>
inline void multiply_point(const float* weights, const float* inputs, int64_t n_in, float* to) {
    Floats sums[CHANNELS][N];
#pragma GCC unroll 8
    for (int c = 0; c < CHANNELS; c++)
#pragma GCC unroll 3
        for (int v = 0; v < N; v++) sums[c][v] = zeros();
    for (int64_t i = 0; i < n_in; i++, weights += CHANNELS, inputs += N * LANES) {
        Floats x[N];
#pragma GCC unroll 3
        for (int v = 0; v < N; v++) x[v] = load(inputs + v * LANES);
#pragma GCC unroll 8
        for (int c = 0; c < CHANNELS; c++) {
            const Floats weight = all(weights[c]);
#pragma GCC unroll 3
            for (int v = 0; v < N; v++) sums[c][v] = fma(weight, x[v], sums[c][v]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < CHANNELS; c++)
#pragma GCC unroll 3
        for (int v = 0; v < N; v++) store(to + (c * N + v) * LANES, sums[c][v]);
}

// products: [16, CHANNELS, n_vectors of the group] -> CHANNELS channels of the image.
inline void transform_outputs(const float* products, const Image& out, const TileGroup& group, int64_t first_channel,
                              const Ending& ending) {
    const int64_t stride = CHANNELS * group.n_vectors * LANES;
    const int64_t n_rows = out.n_rows - 2 * group.row < 2 ? 1 : 2;
    for (int64_t c = 0; c < CHANNELS; c++) {
        const int64_t channel = first_channel + c;
        const Floats bias = all(ending.bias[channel]);
        for (int64_t v = 0; v < group.n_vectors; v++, products += LANES) {
            Floats t[2][4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const Floats a = load(products + i * stride), b = load(products + (4 + i) * stride);
                const Floats c = load(products + (8 + i) * stride), d = load(products + (12 + i) * stride);
                t[0][i] = add(add(a, b), c), t[1][i] = sub(sub(b, c), d);
            }
            const int64_t vector = group.first_vector + v;
            for (int64_t i = 0; i < n_rows; i++) {
                const int64_t row = 2 * group.row + i;
                const Floats middle = add(t[i][1], bias), other = t[i][2];
                const Floats even = add(add(t[i][0], middle), other), odd = sub(sub(middle, other), t[i][3]);
                out.put(channel, row, 0, vector, ending(even, out.at(channel, row, 0) + vector * LANES));
                out.put(channel, row, 1, vector, ending(odd, out.at(channel, row, 1) + vector * LANES));
            }
        }
    }
}

// 3 x 3, stride 1, padding 1. weight: [n_out / CHANNELS, 16, n_in, CHANNELS], transformed.
inline void convolve_tiles(const float* weight, const Image& in, const Image& out, const Ending& ending) {
    static thread_local Scratch memory;
    const int64_t n_in = in.n_channels, group_floats = POINTS * point_stride(n_in), plane = round_up(in.plane(), LANES);
    const int64_t groups_of_row = divide_up(in.n_vectors(), MOST_VECTORS);
    const int64_t n_groups = divide_up(in.n_rows, 2) * groups_of_row;
    int64_t most = MAX_TRANSFORMED_BYTES / (4 * group_floats);
    most = most < 1 ? 1 : most > n_groups ? n_groups : most;
    float* nothing = memory.get<float>(plane + 2 * LANES + POINTS * CHANNELS * MOST_VECTORS * LANES + most * group_floats);
    float* products = nothing + plane + 2 * LANES;
    float* inputs = products + POINTS * CHANNELS * MOST_VECTORS * LANES;
    for (int64_t i = 0; i < plane + 2 * LANES; i += LANES) store(nothing + i, zeros());
    for (int64_t first = 0; first < n_groups; first += most) {
        const int64_t n = n_groups - first < most ? n_groups - first : most;
        for (int64_t g = 0; g < n; g++)
            transform_inputs(in, tile_group(in, first + g, groups_of_row), nothing + LANES, inputs + g * group_floats);
        for (int64_t channel = 0; channel < out.n_channels; channel += CHANNELS)
            for (int64_t g = 0; g < n; g++) {
                const TileGroup group = tile_group(in, first + g, groups_of_row);
                for (int64_t p = 0; p < POINTS; p++) {
                    const float* w = weight + (channel * POINTS + p * CHANNELS) * n_in;
                    const float* x = inputs + g * group_floats + p * point_stride(n_in);
                    float* to = products + p * CHANNELS * group.n_vectors * LANES;
                    if (group.n_vectors == 3) multiply_point<3>(w, x, n_in, to);
                    else if (group.n_vectors == 2) multiply_point<2>(w, x, n_in, to);
                    else multiply_point<1>(w, x, n_in, to);
                }
                transform_outputs(products, out, group, channel, ending);
            }
    }
}

// Where an input of a convolution with stride 2 lies, seen from its output.
struct Tap {
    int64_t row, parity, place;
};
constexpr Tap TAPS_OF_3[9] = {{-1, 1, -1}, {-1, 0, 0}, {-1, 1, 0}, {0, 1, -1}, {0, 0, 0}, {0, 1, 0}, {1, 1, -1}, {1, 0, 0}, {1, 1, 0}};
constexpr Tap TAPS_OF_1[1] = {{0, 0, 0}};

// Stride 2; 3 x 3 with padding 1, or 1 x 1. weight: [n_out / CHANNELS, n_taps, n_in, CHANNELS].
template <int N_TAPS>
inline void convolve_halving(const float* weight, const Tap (&taps)[N_TAPS], const Image& in, const Image& out,
                             const Ending& ending) {
    for (int64_t channel = 0; channel < out.n_channels; channel += CHANNELS, weight += N_TAPS * in.n_channels * CHANNELS)
        for (int64_t row = 0; row < out.n_rows; row++)
            for (int64_t vector = 0; vector < out.n_vectors(); vector++) {
                Floats sums[CHANNELS][2];
#pragma GCC unroll 8
                for (int c = 0; c < CHANNELS; c++) sums[c][0] = sums[c][1] = zeros();
                for (int64_t tap = 0; tap < N_TAPS; tap++) {
                    const int64_t from = 2 * row + taps[tap].row;
                    if (from < 0 || from >= in.n_rows) continue;
                    const float* w = weight + tap * in.n_channels * CHANNELS;
                    const float* x = in.at(0, from, taps[tap].parity) + 2 * vector * LANES + taps[tap].place;
                    for (int64_t i = 0; i < in.n_channels; i++, w += CHANNELS, x += in.n_rows * 2 * in.plane()) {
                        const Floats first = load(x), second = load(x + LANES);
#pragma GCC unroll 8
                        for (int c = 0; c < CHANNELS; c++) {
                            const Floats value = all(w[c]);
                            sums[c][0] = fma(value, first, sums[c][0]), sums[c][1] = fma(value, second, sums[c][1]);
                        }
                    }
                }
                Floats done[CHANNELS][2];
                for (int c = 0; c < CHANNELS; c++) done[c][0] = sums[c][0], done[c][1] = sums[c][1];
                for (int64_t c = 0; c < CHANNELS; c++) {
                    const Floats bias = all(ending.bias[channel + c]);
                    Floats even, odd;
                    deinterleave(add(done[c][0], bias), add(done[c][1], bias), even, odd);
                    out.put(channel + c, row, 0, vector, ending(even, out.at(channel + c, row, 0) + vector * LANES));
                    out.put(channel + c, row, 1, vector, ending(odd, out.at(channel + c, row, 1) + vector * LANES));
                }
            }
}

}  // namespace IFW_LEVEL
