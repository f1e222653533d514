// Linear layers: norm and quantisation before the product, bias, GELU and residual behind it, in one pass over the rows.
#pragma once
#include "interface.h"
#include "multiply.h"
#include "rows.h"
#include "scratch.h"
#include "team.h"

namespace IFW_LEVEL {

// Calls use(kind) with how a layer multiplies.
template <class Use>
auto with_kind(int32_t arithmetic, const Use& use) {
    if (arithmetic == IFW_MULTIPLY_INT8) return use(Int8{});
    if (arithmetic == IFW_MULTIPLY_FLOAT32) return use(Float32{});
    return use(KindOf<bfloat16>::Type{});
}

template <class Kind>
int64_t words_of(int64_t n_in) {
    return divide_up(n_in, Kind::WORD_VALUES);
}

template <class Kind>
int64_t panel_words(int64_t n_in) {
    return words_of<Kind>(n_in) * PANEL;
}

template <class Kind>
void pack_words(const float* weight, int64_t n_in, int64_t n_out, uint32_t* packed, float* scale, int32_t* correction) {
    constexpr bool IS_INT8 = Kind::WORD_VALUES == 4;
    static thread_local Scratch memory;
    float* row = memory.get<float>(2 * round_up(n_in, ROW_STEP));
    auto* words = reinterpret_cast<uint32_t*>(row + round_up(n_in, ROW_STEP));
    memset(packed, 0, sizeof(uint32_t) * panel_words<Kind>(n_in) * divide_up(n_out, PANEL));
    for (int64_t column = 0; column < round_up(n_out, PANEL); column++) {
        if (IS_INT8) scale[column] = 0, correction[column] = 0;
        if (column >= n_out) continue;
        const float step = prepare_row<Kind>(weight + column * n_in, n_in, nullptr, row, words, 0);
        uint32_t* to = packed + column / PANEL * panel_words<Kind>(n_in) + column % PANEL;
        for (int64_t word = 0; word < words_of<Kind>(n_in); word++) to[word * PANEL] = words[word];
        if (!IS_INT8) continue;
        int32_t sum = 0;
        for (int64_t i = 0; i < n_in; i++) sum += reinterpret_cast<const int8_t*>(words)[i];
        scale[column] = step, correction[column] = sum * Int8::ZERO_POINT;
    }
}

inline int64_t packed_bytes(int64_t n_in, int64_t n_out, int32_t arithmetic) {
    const int64_t panels = divide_up(n_out, PANEL);
    return with_kind(arithmetic, [&](auto kind) { return 4 * panels * panel_words<decltype(kind)>(n_in); });
}

inline void pack_linear(const float* weight, int64_t n_in, int64_t n_out, int32_t arithmetic, void* packed,
                        float* scale, int32_t* correction) {
    with_kind(arithmetic, [&](auto kind) {
        pack_words<decltype(kind)>(weight, n_in, n_out, static_cast<uint32_t*>(packed), scale, correction);
        return 0;
    });
}

// One call of a layer, its types known.
template <class Kind, class In, class Out>
struct LinearCall {
    const IfwLinear& layer;
    const IfwNorm* norm;
    const In* x;
    const In* residual;
    Out* y;
    bool is_gelu;

    // Words of a prepared row.
    int64_t row_words() const { return round_up(layer.n_in, ROW_STEP) / Kind::WORD_VALUES; }

    // Rows prepared for the product, in the memory of this thread.
    struct Prepared {
        uint32_t* words;
        float* steps;
    };

    Prepared prepare(int64_t first_row, int64_t n_rows) const {
        static thread_local Scratch memory;
        const int64_t row_floats = round_up(layer.n_in, ROW_STEP), step_floats = round_up(n_rows, 16);
        float* row = memory.get<float>(row_floats + step_floats + n_rows * row_words());
        float* steps = row + row_floats;
        auto* words = reinterpret_cast<uint32_t*>(steps + step_floats);
        for (int64_t i = 0; i < n_rows; i++)
            steps[i] = prepare_row<Kind>(x + (first_row + i) * layer.n_in, layer.n_in, norm, row,
                                         words + i * row_words(), Int8::ZERO_POINT);
        return {words, steps};
    }

    void compute_panel(const Prepared& rows, int64_t first_row, int64_t n_rows, int64_t panel) const {
        const auto* weight = static_cast<const uint32_t*>(layer.weight) + panel * panel_words<Kind>(layer.n_in);
        multiply<Kind>(rows.words, row_words(), 0, n_rows, weight, words_of<Kind>(layer.n_in),
                       [&](int64_t row, const auto& sums) { finish(rows, first_row, row, panel * PANEL, sums); });
    }

    template <int N_ROWS>
    void finish(const Prepared& rows, int64_t first_row, int64_t row,
                int64_t column, const typename Kind::Sums (&sums)[N_ROWS][VECTORS]) const {
        for (int r = 0; r < N_ROWS; r++)
            for (int v = 0; v < VECTORS; v++)
                finish_vector(scaled(sums[r][v], rows.steps[row + r], column + v * LANES), first_row + row + r,
                              column + v * LANES);
    }

    Floats scaled(typename Kind::Sums sums, float step, int64_t column) const {
        if constexpr (Kind::WORD_VALUES == 4)
            return mul(Kind::to_floats(sums, layer.correction + column), mul(load(layer.scale + column), all(step)));
        else
            return sums;
    }

    void finish_vector(Floats sums, int64_t row, int64_t column) const {
        const int64_t n = layer.n_out - column;
        if (n <= 0) return;
        if (layer.bias != nullptr) sums = add(sums, load(layer.bias + column));
        if (is_gelu) sums = gelu(sums);
        const int64_t place = row * layer.n_out + column;
        if (n >= LANES) {
            if (residual != nullptr) sums = add(sums, load(residual + place));
            store(y + place, sums);
            return;
        }
        float values[LANES];
        store(values, sums);
        for (int64_t i = 0; i < n; i++) {
            if (residual != nullptr) values[i] += to_float(residual[place + i]);
            from_float(y + place + i, values[i]);
        }
    }
};

constexpr int64_t FEW_ROWS = 24;               // so few that every thread prepares them all, and panels are shared out
constexpr int64_t MAX_PREPARED_BYTES = 192 << 10;  // of a block of rows: beside the panels in the second-level cache

// How a call is split into items.
template <class Kind, class In, class Out>
struct LinearItems {
    const LinearCall<Kind, In, Out> call;
    const int64_t n_rows, n_panels;
    int64_t block, n_blocks, n_parts;  // rows of an item, and how often rows and panels are divided

    LinearItems(const LinearCall<Kind, In, Out>& call, int64_t n_rows, int64_t n_threads)
        : call(call), n_rows(n_rows), n_panels(divide_up(call.layer.n_out, PANEL)) {
        if (n_rows <= FEW_ROWS && n_threads > 1) {
            block = n_rows, n_blocks = 1;
            n_parts = n_threads < n_panels ? n_threads : n_panels;
            return;
        }
        const int64_t most = MAX_PREPARED_BYTES / (4 * call.row_words());
        const int64_t wanted = round_up(divide_up(n_rows, most < ROWS ? ROWS : most), n_threads);
        block = round_up(divide_up(n_rows, wanted), ROWS);
        n_blocks = divide_up(n_rows, block), n_parts = 1;
    }

    int64_t count() const { return n_blocks * n_parts; }

    void operator()(int64_t item) const {
        const int64_t first = item / n_parts * block, part = item % n_parts;
        const int64_t n = n_rows - first < block ? n_rows - first : block;
        const auto rows = call.prepare(first, n);
        for (int64_t p = part * n_panels / n_parts; p < (part + 1) * n_panels / n_parts; p++)
            call.compute_panel(rows, first, n, p);
    }
};

template <class Kind, class In, class Out>
void linear_of(const IfwTeam* team, const IfwLinear* layer, const IfwNorm* norm, const void* x, const void* residual,
               void* y, int64_t n_rows, int32_t is_gelu) {
    const LinearCall<Kind, In, Out> call{*layer, norm, static_cast<const In*>(x), static_cast<const In*>(residual),
                                         static_cast<Out*>(y), is_gelu != 0};
    const IfwTeam chosen = team_for(*team, n_rows * layer->n_in * layer->n_out);
    const LinearItems<Kind, In, Out> items(call, n_rows, chosen.n_threads);
    for_each_item(chosen, items.count(), items);
}

template <class Kind>
void linear_of_kind(const IfwTeam* team, const IfwLinear* layer, const IfwNorm* norm, const void* x,
                    const void* residual, void* y, int64_t n_rows, int32_t is_gelu) {
    if (layer->input_type == IFW_FLOAT32)
        linear_of<Kind, float, float>(team, layer, norm, x, residual, y, n_rows, is_gelu);
    else if (layer->output_type == IFW_FLOAT32)
        linear_of<Kind, bfloat16, float>(team, layer, norm, x, residual, y, n_rows, is_gelu);
    else
        linear_of<Kind, bfloat16, bfloat16>(team, layer, norm, x, residual, y, n_rows, is_gelu);
}

inline void linear(const IfwTeam* team, const IfwLinear* layer, const IfwNorm* norm, const void* x,
                   const void* residual, void* y, int64_t n_rows, int32_t is_gelu) {
    with_kind(layer->arithmetic, [&](auto kind) {
        linear_of_kind<decltype(kind)>(team, layer, norm, x, residual, y, n_rows, is_gelu);
        return 0;
    });
}

}  // namespace IFW_LEVEL
