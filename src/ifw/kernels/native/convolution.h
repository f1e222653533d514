// Convolutions over images of rows, for the trunk of a residual network: 3 x 3 with stride 1 as Winograd's F(4 x 4, 3 x 3),
// which needs 36 products where the plain way needs 144; 3 x 3 and 1 x 1 with stride 2 the plain way.
//
// Lanes are columns. A row is kept as four planes, its columns modulo 4: so both ways load and store whole vectors.
#pragma once
#include "interface.h"
#include "scratch.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t MOST_TILES = 3;  // of a group, in vectors: with CHANNELS outputs they fill the registers
constexpr int64_t POINTS = 36;     // of a transformed tile
constexpr int64_t MAX_TRANSFORMED_BYTES = 384 << 10;  // of inputs at once: beside weights in the second-level cache

// [n_channels, n_rows, width]. Planes have zeros on both sides, and behind the last column.
struct Image {
    float* data;
    int64_t n_channels, n_rows, width;

    int64_t n_vectors() const { return divide_up(divide_up(width, 4), LANES); }  // of a plane
    int64_t plane() const { return (n_vectors() + 1) * LANES; }
    int64_t n_planes() const { return n_channels * n_rows * 4; }
    int64_t size() const { return n_planes() * plane() + 4 * LANES; }
    float* at(int64_t channel, int64_t row, int64_t part) const {
        return data + LANES + ((channel * n_rows + row) * 4 + part) * plane();
    }

    void clear_margins() const {
        for (int64_t i = 0; i < n_planes(); i++) store(data + i * plane(), zeros());
        for (int64_t i = 0; i < 4; i++) store(data + n_planes() * plane() + i * LANES, zeros());
    }

    // Stores vector number `vector` of a plane, with zeros behind the last column.
    void put(int64_t channel, int64_t row, int64_t part, int64_t vector, Floats x) const {
        const int64_t n = (width + 3 - part) / 4 - vector * LANES;
        store(at(channel, row, part) + vector * LANES, n < LANES ? first_of(x, static_cast<int>(n < 0 ? 0 : n)) : x);
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

// A vector of tiles of 4 x 4 outputs: its first row, and its number in each plane.
struct Tile {
    int64_t row, vector;
};

// Some that follow each other, from one row of tiles into the next.
struct TileGroup {
    int64_t n_tiles;
    Tile tiles[MOST_TILES];
};

inline TileGroup tile_group(const Image& image, int64_t index, int64_t n_groups) {
    const int64_t n_vectors = image.n_vectors(), n_tiles = divide_up(image.n_rows, 4) * n_vectors;
    const int64_t first = index * n_tiles / n_groups;
    TileGroup group{(index + 1) * n_tiles / n_groups - first, {}};
    for (int64_t i = 0; i < group.n_tiles; i++) group.tiles[i] = {(first + i) / n_vectors * 4, (first + i) % n_vectors};
    return group;
}

// Floats from one point of transformed inputs to the next; a line more than they need, so that points share no cache set.
inline int64_t point_stride(int64_t n_in) { return (n_in * MOST_TILES + 1) * LANES; }

// The points of Winograd's way are 0, A, -A, B, -B and infinity. Rounding errors are 2.6 times as large with 1 and 2.
constexpr float A = 0.625f, B = 1.5f, AA = A * A, BB = B * B;

// A line of inputs becomes its points.
inline void transform_line(Floats& x0, Floats& x1, Floats& x2, Floats& x3, Floats& x4, Floats& x5) {
    const Floats even_a = fma(all(-BB), x2, x4), odd_a = fma(all(-BB), x1, x3);
    const Floats even_b = fma(all(-AA), x2, x4), odd_b = fma(all(-AA), x1, x3);
    x0 = fma(all(-AA), fma(all(-BB), x0, x2), even_a);
    x5 = fma(all(-AA), odd_a, fma(all(-BB), x3, x5));
    x1 = fma(all(A), odd_a, even_a), x2 = fma(all(-A), odd_a, even_a);
    x3 = fma(all(B), odd_b, even_b), x4 = fma(all(-B), odd_b, even_b);
}

inline void transform_inputs(const Image& in, const TileGroup& group, const float* nothing, float* to) {
    const int64_t stride = point_stride(in.n_channels), plane = in.plane(), next_channel = in.n_rows * 4 * plane;
    for (int64_t channel = 0; channel < in.n_channels; channel++)
        for (int64_t tile = 0; tile < group.n_tiles; tile++, to += LANES) {
            Floats t[6][6];
#pragma GCC unroll 6
            for (int64_t i = 0; i < 6; i++) {
                const int64_t row = group.tiles[tile].row - 1 + i;
                const bool is_there = row >= 0 && row < in.n_rows;
                const float* x = is_there ? in.at(channel, row, 0) + group.tiles[tile].vector * LANES : nothing;
#pragma GCC unroll 4
                for (int64_t part = 0; part < 4; part++) {
                    __builtin_prefetch(x + next_channel + part * plane);
                    t[i][part + 1] = load(x + part * plane);
                }
                t[i][0] = load(x + 3 * plane - 1), t[i][5] = load(x + 1);
                transform_line(t[i][0], t[i][1], t[i][2], t[i][3], t[i][4], t[i][5]);
            }
#pragma GCC unroll 6
            for (int64_t i = 0; i < 6; i++) {
                transform_line(t[0][i], t[1][i], t[2][i], t[3][i], t[4][i], t[5][i]);
#pragma GCC unroll 6
                for (int64_t j = 0; j < 6; j++) store(to + (6 * j + i) * stride, t[j][i]);
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

// A line of points becomes its outputs.
inline void restore_line(const float* from, int64_t stride, Floats (&y)[4]) {
    const Floats a = load(from + stride), minus_a = load(from + 2 * stride);
    const Floats b = load(from + 3 * stride), minus_b = load(from + 4 * stride);
    const Floats even_a = add(a, minus_a), odd_a = sub(a, minus_a), even_b = add(b, minus_b), odd_b = sub(b, minus_b);
    y[0] = add(add(load(from), even_a), even_b);
    y[1] = fma(all(A), odd_a, mul(all(B), odd_b));
    y[2] = fma(all(AA), even_a, mul(all(BB), even_b));
    y[3] = fma(all(AA * A), odd_a, fma(all(BB * B), odd_b, load(from + 5 * stride)));
}

// products: [36, CHANNELS, tiles of the group] -> CHANNELS channels of the image.
inline void transform_outputs(const float* products, const Image& out, const TileGroup& group, int64_t first_channel,
                              const Ending& ending) {
    const int64_t stride = CHANNELS * group.n_tiles * LANES, plane = out.plane(), next_channel = out.n_rows * 4 * plane;
    for (int64_t channel = first_channel; channel < first_channel + CHANNELS; channel++) {
        const Floats bias = all(ending.bias[channel]);
        for (int64_t tile = 0; tile < group.n_tiles; tile++, products += LANES) {
            const auto [first_row, vector] = group.tiles[tile];
            const float* next = out.at(channel, first_row, 0) + vector * LANES + next_channel;
#pragma GCC unroll 16
            for (int64_t i = 0; i < 16; i++) __builtin_prefetch(next + i * plane, 1);
            alignas(64) float lines[24 * LANES];
            for (int64_t i = 0; i < 6; i++) {
                Floats y[4];
                restore_line(products + i * stride, 6 * stride, y);
#pragma GCC unroll 4
                for (int64_t j = 0; j < 4; j++) store(lines + (j * 6 + i) * LANES, y[j]);
            }
            for (int64_t i = 0; i < 4 && first_row + i < out.n_rows; i++) {
                Floats y[4];
                restore_line(lines + i * 6 * LANES, LANES, y);
#pragma GCC unroll 4
                for (int64_t part = 0; part < 4; part++) {
                    const float* present = out.at(channel, first_row + i, part) + vector * LANES;
                    out.put(channel, first_row + i, part, vector, ending(add(y[part], bias), present));
                }
            }
        }
    }
}

// 3 x 3, stride 1, padding 1. weight: [n_out / CHANNELS, 36, n_in, CHANNELS], transformed.
inline void convolve_tiles(const float* weight, const Image& in, const Image& out, const Ending& ending) {
    static thread_local Scratch memory;
    const int64_t n_in = in.n_channels, group_floats = POINTS * point_stride(n_in), empty = (4 * in.n_vectors() + 5) * LANES;
    const int64_t n_groups = divide_up(divide_up(in.n_rows, 4) * in.n_vectors(), MOST_TILES);
    int64_t most = MAX_TRANSFORMED_BYTES / (4 * group_floats);
    most = most < 1 ? 1 : most > n_groups ? n_groups : most;
    float* nothing = memory.get<float>(empty + POINTS * CHANNELS * MOST_TILES * LANES + most * group_floats);
    float* products = nothing + empty;
    float* inputs = products + POINTS * CHANNELS * MOST_TILES * LANES;
    for (int64_t i = 0; i < empty; i += LANES) store(nothing + i, zeros());
    for (int64_t first = 0; first < n_groups; first += most) {
        const int64_t n = n_groups - first < most ? n_groups - first : most;
        for (int64_t g = 0; g < n; g++) {
            Crew::lend_a_hand();
            transform_inputs(in, tile_group(in, first + g, n_groups), nothing + LANES, inputs + g * group_floats);
        }
        for (int64_t channel = 0; channel < out.n_channels; channel += CHANNELS)
            for (int64_t g = 0; g < n; g++) {
                Crew::lend_a_hand();
                const TileGroup group = tile_group(in, first + g, n_groups);
                for (int64_t p = 0; p < POINTS; p++) {
                    const float* w = weight + (channel * POINTS + p * CHANNELS) * n_in;
                    const float* x = inputs + g * group_floats + p * point_stride(n_in);
                    float* to = products + p * CHANNELS * group.n_tiles * LANES;
                    if (group.n_tiles == 3) multiply_point<3>(w, x, n_in, to);
                    else if (group.n_tiles == 2) multiply_point<2>(w, x, n_in, to);
                    else multiply_point<1>(w, x, n_in, to);
                }
                transform_outputs(products, out, group, channel, ending);
            }
    }
}

// Where an input of a convolution with stride 2 lies, seen from its output.
struct Tap {
    int64_t row, part, place;
};
// Of outputs in even columns, and of those in odd ones.
constexpr Tap TAPS_OF_3[2][9] = {
    {{-1, 3, -1}, {-1, 0, 0}, {-1, 1, 0}, {0, 3, -1}, {0, 0, 0}, {0, 1, 0}, {1, 3, -1}, {1, 0, 0}, {1, 1, 0}},
    {{-1, 1, 0}, {-1, 2, 0}, {-1, 3, 0}, {0, 1, 0}, {0, 2, 0}, {0, 3, 0}, {1, 1, 0}, {1, 2, 0}, {1, 3, 0}}};
constexpr Tap TAPS_OF_1[2][1] = {{{0, 0, 0}}, {{0, 2, 0}}};

// Stride 2; 3 x 3 with padding 1, or 1 x 1. weight: [n_out / CHANNELS, n_taps, n_in, CHANNELS].
template <int N_TAPS>
inline void convolve_halving(const float* weight, const Tap (&taps)[2][N_TAPS], const Image& in, const Image& out,
                             const Ending& ending) {
    for (int64_t channel = 0; channel < out.n_channels; channel += CHANNELS, weight += N_TAPS * in.n_channels * CHANNELS)
        for (int64_t row = 0; row < out.n_rows; row++) {
            Crew::lend_a_hand();
            for (int64_t vector = 0; vector < out.n_vectors(); vector++)
                for (int64_t parity = 0; parity < 2; parity++) {
                    Floats sums[CHANNELS][2];
#pragma GCC unroll 8
                    for (int c = 0; c < CHANNELS; c++) sums[c][0] = sums[c][1] = zeros();
                    for (int64_t i = 0; i < N_TAPS; i++) {
                        const Tap& tap = taps[parity][i];
                        const int64_t from = 2 * row + tap.row;
                        if (from < 0 || from >= in.n_rows) continue;
                        const float* w = weight + i * in.n_channels * CHANNELS;
                        const float* x = in.at(0, from, tap.part) + 2 * vector * LANES + tap.place;
                        for (int64_t j = 0; j < in.n_channels; j++, w += CHANNELS, x += in.n_rows * 4 * in.plane()) {
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
                        Floats y[2];
                        deinterleave(add(done[c][0], bias), add(done[c][1], bias), y[0], y[1]);
                        for (int64_t i = 0; i < 2; i++) {
                            const int64_t part = parity + 2 * i;
                            const float* present = out.at(channel + c, row, part) + vector * LANES;
                            out.put(channel + c, row, part, vector, ending(y[i], present));
                        }
                    }
                }
        }
}

}  // namespace IFW_LEVEL
