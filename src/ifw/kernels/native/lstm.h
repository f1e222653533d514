// Layers of an LSTM. Of some frames, what the inputs add to the gates is computed together; then, frame after frame, what the
// hidden values of the frame before add. Rows are frames, in each of which the chunks lie side by side.
#pragma once
#include "crew.h"
#include "linear.h"

namespace IFW_LEVEL {

constexpr int64_t GATED_ROWS = 24;  // whose inputs are multiplied together; no more chunks go through the layers together
constexpr int GATED_BLOCK = 4;      // of them in a block of the product: groups are often of 8, and 6 + 2 rows are slower

// Multiplies rows by a layer, whose bias is left out; hands the result on by vectors: use(row, column, values).
template <class Kind, class Use>
inline void multiply_gates(const IfwLinear& layer, const uint32_t* rows, int64_t row_words, int64_t n_rows, const Use& use) {
    const auto* weight = static_cast<const uint32_t*>(layer.weight);
    for (int64_t panel = 0; panel < layer.n_out; panel += PANEL, weight += panel_words<Kind>(layer.n_in))
        multiply<Kind, GATED_BLOCK>(rows, row_words, 0, n_rows, weight, words_of<Kind>(layer.n_in),
                                    [&](int64_t first_row, const auto& sums) {
                                        int64_t row = first_row;
                                        for (const auto& values : sums) {
                                            for (int v = 0; v < VECTORS; v++) use(row, panel + v * LANES, values[v]);
                                            row++;
                                        }
                                    });
}

// exp(-x), of which three can be multiplied; beyond 28 a gate is open or shut.
inline Floats falling(Floats x) { return exponential(max(all(-28.0f), min(all(28.0f), sub(zeros(), x)))); }

// The next cell state, and the hidden values: with one division each, as the logistic function is 1 / (1 + exp(-x)), and the
// hyperbolic tangent (1 - exp(-2 x)) / (1 + exp(-2 x)).
inline Floats cell_of(Floats in, Floats keep, Floats value, Floats cell) {
    const Floats one = all(1.0f), small = falling(add(value, value)), kept = add(one, falling(keep));
    const Floats taken = mul(add(one, falling(in)), add(one, small));
    return div(fma(cell, taken, mul(sub(one, small), kept)), mul(taken, kept));
}
inline Floats hidden_of(Floats out, Floats cell) {
    const Floats one = all(1.0f), small = falling(add(cell, cell));
    return div(sub(one, small), mul(add(one, falling(out)), add(one, small)));
}

// What one direction of a layer works with.
template <class Kind>
struct LstmState {
    float* gates;                  // [GATED_ROWS, 4 width]
    float* cells;                  // [n_chunks, width]
    typename Kind::Value* hidden;  // likewise, of the frame before
};

// One frame. gates: [n_chunks, 4 width], of the inputs; overwritten. Hands the hidden values on: put(chunk, unit, values).
template <class Kind, class Put>
inline void lstm_step(const IfwLinear& layer, const LstmState<Kind>& state, float* gates, int64_t n_chunks, const Put& put) {
    const int64_t width = layer.n_in;
    multiply_gates<Kind>(layer, reinterpret_cast<const uint32_t*>(state.hidden), width / Kind::WORD_VALUES, n_chunks,
                         [&](int64_t chunk, int64_t column, Floats values) {
                             float* const gate = gates + chunk * layer.n_out + column;
                             store(gate, add(values, load(gate)));
                         });
    for (int64_t chunk = 0; chunk < n_chunks; chunk++)
        for (int64_t unit = 0; unit < width; unit += LANES) {
            const float* const gate = gates + chunk * layer.n_out + unit;
            float* const cell = state.cells + chunk * width + unit;
            const Floats next = cell_of(load(gate), load(gate + width), load(gate + 2 * width), load(cell));
            const Floats hidden = hidden_of(load(gate + 3 * width), next);
            store(cell, next), store(state.hidden + chunk * width + unit, hidden);
            put(chunk, unit, hidden);
        }
}

// One direction of a layer. x: [n_frames, n_chunks, row_words]. Hands the hidden values on: put(frame, chunk, unit, values).
template <class Kind, class Put>
inline void lstm_pass(const IfwLstmDirection& layer, bool is_backward, const LstmState<Kind>& state, const uint32_t* x,
                      int64_t row_words, int64_t n_chunks, int64_t n_frames, const Put& put) {
    const int64_t n_states = n_chunks * layer.hidden_gates.n_in, n_gates = layer.input_gates.n_out;
    memset(state.cells, 0, sizeof(*state.cells) * n_states), memset(state.hidden, 0, sizeof(*state.hidden) * n_states);
    for (int64_t done = 0, n; done < n_frames; done += n) {
        n = GATED_ROWS / n_chunks < n_frames - done ? GATED_ROWS / n_chunks : n_frames - done;
        const int64_t first = is_backward ? n_frames - done - n : done;
        multiply_gates<Kind>(layer.input_gates, x + first * n_chunks * row_words, row_words, n * n_chunks,
                             [&](int64_t row, int64_t column, Floats values) {
                                 store(state.gates + row * n_gates + column, add(values, load(layer.input_gates.bias + column)));
                             });
        for (int64_t i = 0; i < n; i++) {
            Crew::lend_a_hand();
            const int64_t frame = is_backward ? n - 1 - i : i;
            lstm_step<Kind>(layer.hidden_gates, state, state.gates + frame * n_chunks * n_gates, n_chunks,
                            [&](int64_t chunk, int64_t unit, Floats values) { put(first + frame, chunk, unit, values); });
        }
    }
}

// All layers, for up to GATED_ROWS chunks.
template <class Kind>
inline void lstm_of(const IfwLstm& lstm, const float* x, int64_t n_chunks, int64_t n_frames, float* hidden) {
    using Value = typename Kind::Value;
    static thread_local Scratch memory;
    const int64_t n_in = lstm.directions->input_gates.n_in, n_out = lstm.n_directions * lstm.width;
    const int64_t row = round_up(n_in, ROW_STEP), n_states = GATED_ROWS * lstm.width;
    const int64_t n_values = n_frames * n_chunks * (row > n_out ? row : n_out);
    float* const gates = memory.get<float>(5 * n_states + row + (n_states + 2 * n_values) / Kind::WORD_VALUES);
    float* const cells = gates + 4 * n_states;
    float* const loaded = cells + n_states;
    auto* const before = reinterpret_cast<Value*>(loaded + row);
    Value *a = before + n_states, *b = a + n_values;
    for (int64_t frame = 0; frame < n_frames; frame++)
        for (int64_t chunk = 0; chunk < n_chunks; chunk++)
            prepare_row<Kind>(x + (chunk * n_frames + frame) * n_in, n_in, nullptr, loaded,
                              reinterpret_cast<uint32_t*>(a + (frame * n_chunks + chunk) * row), 0);
    for (int64_t layer = 0, stride = row; layer < lstm.n_layers; layer++, stride = n_out) {
        for (int64_t direction = 0; direction < lstm.n_directions; direction++) {
            const auto pass = [&](const auto& put) {
                lstm_pass<Kind>(lstm.directions[layer * lstm.n_directions + direction], direction == 1, {gates, cells, before},
                                reinterpret_cast<const uint32_t*>(a), stride / Kind::WORD_VALUES, n_chunks, n_frames, put);
            };
            const int64_t first = direction * lstm.width;
            if (layer + 1 < lstm.n_layers)
                pass([&](int64_t frame, int64_t chunk, int64_t unit, Floats values) {
                    store(b + (frame * n_chunks + chunk) * n_out + first + unit, values);
                });
            else
                pass([&](int64_t frame, int64_t chunk, int64_t unit, Floats values) {
                    store(hidden + (chunk * n_frames + frame) * n_out + first + unit, values);
                });
        }
        Value* const free = a;
        a = b, b = free;
    }
}

inline void lstm(const IfwLstm* lstm, const float* x, int64_t n_chunks, int64_t n_frames, float* hidden) {
    const Crew::Volunteer volunteer;
    const IfwLinear& layer = lstm->directions->input_gates;
    for (int64_t first = 0, n; first < n_chunks; first += n) {
        n = GATED_ROWS < n_chunks - first ? GATED_ROWS : n_chunks - first;
        const float* const from = x + first * n_frames * layer.n_in;
        float* const to = hidden + first * n_frames * lstm->n_directions * lstm->width;
        if (layer.arithmetic == IFW_MULTIPLY_FLOAT32) lstm_of<Float32>(*lstm, from, n, n_frames, to);
        else lstm_of<KindOf<bfloat16>::Type>(*lstm, from, n, n_frames, to);
    }
}

}  // namespace IFW_LEVEL
