// The whole decoder in one call: small steps are mostly the time between operations, and here there is little of it.
#pragma once
#include "decode_attention.h"
#include "interface.h"
#include "linear.h"
#include "rows.h"
#include "scratch.h"
#include "team.h"

namespace IFW_LEVEL {

template <class Value>
class DecoderPass {
public:
    DecoderPass(const IfwTeam& team, const IfwDecoder& decoder, const IfwDecodeCall& call, Value* out)
        : decoder_(decoder), call_(call), out_(out), n_rows_(call.n_rows * call.n_new),
          width_(decoder.n_heads * IFW_HEAD_DIM), team_(team_for(team, n_rows_ * multiplications_of_row())) {
        static thread_local Scratch memory;
        int64_t widest = 3 * width_;
        for (int64_t i = 0; i < decoder.n_layers; i++)
            if (decoder.layers[i].mlp_in->n_out > widest) widest = decoder.layers[i].mlp_in->n_out;
        x_ = memory.get<Value>(n_rows_ * (2 * width_ + widest));
        mixed_ = x_ + n_rows_ * width_;
        wide_ = mixed_ + n_rows_ * width_;
    }

    void run() {
        Phases phases(team_, 2 + PHASES_OF_LAYER * decoder_.n_layers);
        phases.run([&](Phases::Phase phase) {
            phase(n_rows_, [&](int64_t row) { embed(row); });
            for (int64_t i = 0; i < decoder_.n_layers; i++) run_layer(phase, i);
            phase(n_rows_, [&](int64_t row) { finish(row); });
        });
    }

private:
    static constexpr int64_t PHASES_OF_LAYER = 8;

    int64_t multiplications_of_row() const {
        const int64_t width_of_mlp = decoder_.n_layers > 0 ? decoder_.layers[0].mlp_in->n_out : 0;
        return decoder_.n_layers * width_ * (6 * width_ + 2 * width_of_mlp + 2 * call_.n_cross);
    }

    void run_layer(Phases::Phase& phase, int64_t index) {
        const IfwDecoderLayer& layer = decoder_.layers[index];
        const int64_t n_heads = decoder_.n_heads;
        multiply_rows(phase, layer.self_qkv, layer.self_norm, x_, nullptr, wide_);
        phase(call_.n_rows * n_heads, [&](int64_t item) { attend_self(index, item / n_heads, item % n_heads); });
        multiply_rows(phase, layer.self_out, nullptr, mixed_, x_, x_);
        multiply_rows(phase, layer.cross_query, layer.cross_norm, x_, nullptr, queries(index));
        const int64_t n_sharing = n_rows_ / call_.n_groups;
        phase(n_rows_ * n_heads, [&](int64_t item) {
            const int64_t head = item / n_sharing;  // of all groups
            attend_cross(index, head / n_heads * n_sharing + item % n_sharing, head % n_heads);
        });
        multiply_rows(phase, layer.cross_out, nullptr, mixed_, x_, x_);
        multiply_rows(phase, layer.mlp_in, layer.mlp_norm, x_, nullptr, wide_, true);
        multiply_rows(phase, layer.mlp_out, nullptr, wide_, x_, x_);
    }

    void multiply_rows(Phases::Phase& phase, const IfwLinear* layer, const IfwNorm* norm, const Value* x,
                       const Value* residual, Value* y, bool is_gelu = false) {
        with_kind(layer->arithmetic, [&](auto kind) {
            const LinearCall<decltype(kind), Value, Value> call{*layer, norm, x, residual, y, is_gelu};
            const LinearItems<decltype(kind), Value, Value> items(call, n_rows_, team_.n_threads);
            phase(items.count(), items);
            return 0;
        });
    }

    void embed(int64_t row) {
        const Value* token = static_cast<const Value*>(decoder_.token_embedding) + call_.token_ids[row] * width_;
        const int64_t position = call_.offsets[row / call_.n_new] + row % call_.n_new;
        const Value* place = static_cast<const Value*>(decoder_.positions) + position * width_;
        for (int64_t i = 0; i < width_; i += LANES) store(x_ + row * width_ + i, add(load(token + i), load(place + i)));
    }

    void finish(int64_t row) {
        static thread_local Scratch memory;
        float* values = memory.get<float>(round_up(width_, ROW_STEP));
        load_row(x_ + row * width_, width_, values);
        normalise_row(values, width_, *decoder_.norm);
        for (int64_t i = 0; i < width_; i += LANES) store(out_ + row * width_ + i, load(values + i));
    }

    // Writes the keys and values of a row's new tokens, and lets each see those up to its own.
    void attend_self(int64_t layer, int64_t row, int64_t head) {
        const int64_t* strides = call_.self_strides;
        Value* keys = static_cast<Value*>(call_.self_cache) + layer * strides[0] + row * strides[2] + head * strides[3];
        Value* values = keys + strides[1];
        const int64_t offset = call_.offsets[row];
        const Value* qkv = wide_ + row * call_.n_new * 3 * width_ + head * IFW_HEAD_DIM;
        for (int64_t i = 0; i < call_.n_new; i++) {
            memcpy(keys + (offset + i) * IFW_HEAD_DIM, qkv + (3 * i + 1) * width_, IFW_HEAD_DIM * sizeof(Value));
            memcpy(values + (offset + i) * IFW_HEAD_DIM, qkv + (3 * i + 2) * width_, IFW_HEAD_DIM * sizeof(Value));
        }
        for (int64_t i = 0; i < call_.n_new; i++)
            attend(qkv + 3 * i * width_, keys, values, offset + i + 1,
                   mixed_ + (row * call_.n_new + i) * width_ + head * IFW_HEAD_DIM);
    }

    void attend_cross(int64_t layer, int64_t row, int64_t head) {
        const int64_t place = row * width_ + head * IFW_HEAD_DIM;
        const Value* query = queries(layer) + place;
        const int64_t group = row / (n_rows_ / call_.n_groups);
        if (call_.cross_scales == nullptr)
            attend(query, cross<Value>(layer, 0, group, head), cross<Value>(layer, 1, group, head), call_.n_cross,
                   mixed_ + place);
        else
            attend(query, cross<int8_t>(layer, 0, group, head), cross<int8_t>(layer, 1, group, head), call_.n_cross,
                   mixed_ + place);
    }

    // Where the queries of the cross-attention of a layer are.
    Value* queries(int64_t layer) const {
        if (call_.queries == nullptr) return wide_;
        return static_cast<Value*>(call_.queries) + layer * n_rows_ * width_;
    }

    // The keys, or the values, of one head of the cross-attention.
    template <class Number>
    Vectors<Number> cross(int64_t layer, int64_t is_values, int64_t group, int64_t head) const {
        const int64_t place[4] = {layer, is_values, group, head};
        int64_t number = 0, scale = 0;
        for (int axis = 0; axis < 4; axis++) {
            number += place[axis] * call_.cross_strides[axis];
            scale += place[axis] * call_.cross_scale_strides[axis];
        }
        return {static_cast<const Number*>(call_.cross_cache) + number, static_cast<const float16*>(call_.cross_scales) + scale};
    }

    const IfwDecoder& decoder_;
    const IfwDecodeCall& call_;
    Value* out_;
    const int64_t n_rows_, width_;
    const IfwTeam team_;
    Value *x_, *mixed_, *wide_;
};

inline int32_t decode(const IfwTeam* team, const IfwDecoder* decoder, const IfwDecodeCall* call, void* out) {
    for (int64_t i = 0; i < call->n_rows * call->n_new; i++)
        if (call->token_ids[i] < 0 || call->token_ids[i] >= decoder->n_vocab) return -1;
    for (int64_t i = 0; i < call->n_rows; i++)
        if (call->offsets[i] < 0 || call->offsets[i] > decoder->n_text_positions - call->n_new) return -1;
    if (decoder->type == IFW_FLOAT32)
        DecoderPass<float>(*team, *decoder, *call, static_cast<float*>(out)).run();
    else
        DecoderPass<bfloat16>(*team, *decoder, *call, static_cast<bfloat16*>(out)).run();
    return 0;
}

}  // namespace IFW_LEVEL
