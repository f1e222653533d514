// Voice detection: four spectra a frame, convolutions over them, an LSTM along the frames, and a probability.
//
// Rows are spectra. The windowed cosines are symmetric and the sines antisymmetric, so that samples are added or subtracted in
// pairs first, and half of the products are left.
#pragma once
#include "interface.h"
#include "multiply.h"
#include "scratch.h"

namespace IFW_LEVEL {

constexpr int64_t FRAME = 512, CONTEXT = 64, MIRRORED = 64;         // samples
constexpr int64_t SPECTRA = 4, HOP = 128, PAIRS = 128, BINS = 129;  // PAIRS: of samples in a window
constexpr int64_t WIDE = 128, NARROW = 64, GATES = 4 * WIDE;        // of the layers
constexpr int64_t TAPS = 3;
constexpr int64_t GROUP = 32;  // frames that go through the layers together

// Multiplies rows by some inputs of a layer; hands the result on by vectors: use(row, column, values).
template <class Use>
inline void multiply_rows(const IfwLinear& layer, int64_t first_input, int64_t n_inputs, const float* x, int64_t stride,
                          int64_t n_rows, const Use& use) {
    for (int64_t panel = 0; panel < layer.n_out; panel += PANEL)
        multiply<Float32>(reinterpret_cast<const uint32_t*>(x), stride, 0, n_rows,
                          static_cast<const uint32_t*>(layer.weight) + panel * layer.n_in + first_input * PANEL, n_inputs,
                          [&](int64_t first_row, const auto& sums) {
                              int64_t row = first_row;
                              for (const auto& values : sums) {
                                  for (int v = 0; v < VECTORS; v++) use(row, panel + v * LANES, values[v]);
                                  row++;
                              }
                          });
}

// The windows of a frame, its end mirrored behind it, as sums and differences of samples that lie symmetrically:
// [SPECTRA, 2, PAIRS].
inline void fold_frame(const float* samples, float* folded) {
    alignas(64) float frame[CONTEXT + FRAME + MIRRORED];
    memcpy(frame, samples, sizeof(float) * (CONTEXT + FRAME));
    for (int64_t i = 0; i < MIRRORED; i++) frame[CONTEXT + FRAME + i] = samples[CONTEXT + FRAME - 2 - i];
    for (int64_t spectrum = 0; spectrum < SPECTRA; spectrum++, folded += 2 * PAIRS)
        for (int64_t i = 0; i < PAIRS; i += LANES) {
            const float* const window = frame + spectrum * HOP;
            const Floats left = load(window + 1 + i), right = reversed(load(window + 2 * PAIRS - i - LANES));
            store(folded + i, add(left, right)), store(folded + PAIRS + i, sub(left, right));
        }
}

// folded: [n, 2, PAIRS] -> magnitudes: [n, BINS].
inline void magnitudes_of(const IfwVoiceNetwork& net, const float* folded, int64_t n, float* magnitudes) {
    multiply_rows(net.cosines, 0, PAIRS, folded, 2 * PAIRS, n, [&](int64_t row, int64_t column, Floats real) {
        store(magnitudes + row * BINS + column, mul(real, real));
    });
    multiply_rows(net.sines, 0, PAIRS, folded + PAIRS, 2 * PAIRS, n, [&](int64_t row, int64_t column, Floats imaginary) {
        float* const to = magnitudes + row * BINS + column;
        store(to, root(fma(imaginary, imaginary, load(to))));
    });
    for (int64_t row = 0; row < n; row++) {
        Floats sum = zeros();
        for (int64_t i = 0; i < PAIRS; i += LANES) sum = fma(load(folded + row * 2 * PAIRS + i), load(net.highest + i), sum);
        magnitudes[row * BINS + BINS - 1] = fabsf(sum_of(sum));
    }
}

// One place of a convolution over the rows of a frame, then ReLU. x is the row under the first tap that is not beyond an end.
inline void convolve_place(const IfwLinear& layer, int64_t first_tap, int64_t n_taps, const float* x, int64_t x_stride,
                           int64_t n, float* y, int64_t y_stride) {
    const int64_t width = layer.n_in / TAPS;
    multiply_rows(layer, first_tap * width, n_taps * width, x, x_stride, n, [&](int64_t row, int64_t column, Floats values) {
        store(y + row * y_stride + column, max(zeros(), add(values, load(layer.bias + column))));
    });
}

inline Floats sigmoid(Floats x) { return div(all(1.0f), add(all(1.0f), exponential(min(all(88.0f), sub(zeros(), x))))); }
inline Floats tangent(Floats x) { return sub(mul(all(2.0f), sigmoid(add(x, x))), all(1.0f)); }

// One step of the LSTM. gates: [GATES] of the input, overwritten.
inline void lstm_step(const IfwVoiceNetwork& net, float* gates, float* hidden, float* cell) {
    multiply_rows(net.hidden_gates, 0, WIDE, hidden, 0, 1, [&](int64_t, int64_t column, Floats values) {
        store(gates + column, add(values, load(gates + column)));
    });
    for (int64_t i = 0; i < WIDE; i += LANES) {
        const float* const gate = gates + i;
        const Floats kept = mul(sigmoid(load(gate + WIDE)), load(cell + i));
        const Floats now = fma(sigmoid(load(gate)), tangent(load(gate + 2 * WIDE)), kept);
        store(cell + i, now), store(hidden + i, mul(sigmoid(load(gate + 3 * WIDE)), tangent(now)));
    }
}

inline float probability_of(const IfwVoiceNetwork& net, const float* hidden) {
    Floats sum = zeros();
    for (int64_t i = 0; i < WIDE; i += LANES) sum = fma(max(zeros(), load(hidden + i)), load(net.head + i), sum);
    return 1.0f / (1.0f + expf(-(sum_of(sum) + net.head_bias)));
}

inline void voice_network(const IfwVoiceNetwork* net, const float* samples, int64_t n_frames, float* state,
                          float* probabilities) {
    static thread_local Scratch memory;
    constexpr int64_t FOLDED = SPECTRA * 2 * PAIRS, MAGNITUDES = SPECTRA * BINS, A = SPECTRA * WIDE, B = 2 * NARROW;
    float* const folded = memory.get<float>(GROUP * (FOLDED + MAGNITUDES + A + B + NARROW + WIDE + GATES));
    float* const magnitudes = folded + GROUP * FOLDED;
    float* const a = magnitudes + GROUP * MAGNITUDES;
    float* const b = a + GROUP * A;
    float* const c = b + GROUP * B;
    float* const features = c + GROUP * NARROW;
    float* const gates = features + GROUP * WIDE;
    for (int64_t first = 0; first < n_frames; first += GROUP) {
        const int64_t n = n_frames - first < GROUP ? n_frames - first : GROUP;
        for (int64_t i = 0; i < n; i++) fold_frame(samples + (first + i) * FRAME, folded + i * FOLDED);
        magnitudes_of(*net, folded, n * SPECTRA, magnitudes);
        convolve_place(net->encoder[0], 1, 2, magnitudes, MAGNITUDES, n, a, A);
        convolve_place(net->encoder[0], 0, 3, magnitudes, MAGNITUDES, n, a + WIDE, A);
        convolve_place(net->encoder[0], 0, 3, magnitudes + BINS, MAGNITUDES, n, a + 2 * WIDE, A);
        convolve_place(net->encoder[0], 0, 2, magnitudes + 2 * BINS, MAGNITUDES, n, a + 3 * WIDE, A);
        convolve_place(net->encoder[1], 1, 2, a, A, n, b, B);
        convolve_place(net->encoder[1], 0, 3, a + WIDE, A, n, b + NARROW, B);
        convolve_place(net->encoder[2], 1, 2, b, B, n, c, NARROW);
        convolve_place(net->encoder[3], 1, 1, c, NARROW, n, features, WIDE);
        multiply_rows(net->input_gates, 0, WIDE, features, WIDE, n, [&](int64_t row, int64_t column, Floats values) {
            store(gates + row * GATES + column, add(values, load(net->input_gates.bias + column)));
        });
        for (int64_t i = 0; i < n; i++) {
            lstm_step(*net, gates + i * GATES, state, state + WIDE);
            probabilities[first + i] = probability_of(*net, state);
        }
    }
}

}  // namespace IFW_LEVEL
