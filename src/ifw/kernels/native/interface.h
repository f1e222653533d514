// What the library and its callers agree on. Plain C: pointers, sizes and structs, mirrored in library.py.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// How activations and caches are stored.
enum { IFW_FLOAT32 = 0, IFW_BFLOAT16 = 1 };
// How a linear layer multiplies. BFLOAT16 is not there on every level.
enum { IFW_MULTIPLY_INT8 = 0, IFW_MULTIPLY_FLOAT32 = 1, IFW_MULTIPLY_BFLOAT16 = 2 };
// Of SincNet: half of its filters, which are symmetric, as the other half is antisymmetric; and their length.
enum { IFW_BANDS = 40, IFW_FILTER_SAMPLES = 251 };
// Of every attention kernel.
enum { IFW_HEAD_DIM = 64 };

// Who does the work of a call: the calling thread, and others of the library: see crew.h.
typedef struct {
    int64_t n_threads;
} IfwTeam;

// A linear layer, made by pack_linear. All pointers are 64-byte aligned or NULL.
typedef struct {
    int64_t n_in, n_out;
    int32_t arithmetic;          // IFW_MULTIPLY_...
    int32_t input_type;          // of x and residual
    int32_t output_type;         // of y
    int32_t reserved;
    const void* weight;          // packed
    const float* scale;          // [padded n_out], int8 only
    const int32_t* correction;   // [padded n_out], int8 only
    const float* bias;           // [padded n_out] or NULL
} IfwLinear;

// Layer normalisation of the rows before a linear layer.
typedef struct {
    const float* weight;  // [n_in]
    const float* bias;    // [n_in]
    float epsilon;
    int32_t reserved;
} IfwNorm;

// Keys and values of some groups of rows; a group is a window or a slot. Strides are in elements, the last axis is dense.
typedef struct {
    const void* keys;    // [n_groups, n_heads, n_keys, 64]
    const void* values;  // likewise
    int64_t group_stride, head_stride;
    int64_t n_groups, n_heads, n_keys;
    int32_t type;        // of keys, values, query and output
    int32_t reserved;
} IfwCache;

// A layer of the decoder; the linear layers that begin a part have its norm.
typedef struct {
    const IfwLinear *self_qkv, *self_out, *cross_query, *cross_out, *mlp_in, *mlp_out;
    const IfwNorm *self_norm, *cross_norm, *mlp_norm;
} IfwDecoderLayer;

typedef struct {
    int64_t n_layers, n_heads, n_vocab, n_text_positions;
    const IfwDecoderLayer* layers;
    const void* token_embedding;  // [n_vocab, width]
    const void* positions;        // [n_text_positions, width]
    const IfwNorm* norm;          // of the result
    int32_t type;                 // of embedding, positions, caches, activations and result
    int32_t reserved;
} IfwDecoder;

// New tokens of some rows, and where their keys and values are. Strides are in elements, the last two axes are dense.
typedef struct {
    int64_t n_rows, n_new;
    const int64_t* token_ids;  // [n_rows, n_new]
    const int64_t* offsets;    // [n_rows], tokens in the cache already
    void* self_cache;          // [n_layers, 2, n_rows, n_heads, n_text_positions, 64]
    int64_t self_strides[4];
    const void* cross_cache;   // [n_layers, 2, n_groups, n_heads, n_cross, 64]
    int64_t cross_strides[4];
    const void* cross_scales;  // [n_layers, 2, n_groups, n_heads, n_cross] float16: then the cache is int8; or NULL
    int64_t cross_scale_strides[4];
    int64_t n_groups, n_cross;  // n_rows / n_groups rows that follow one another share a group
    void* queries;              // [n_layers, n_rows, n_new, n_heads, 64], out: of the cross-attention, scaled; or NULL
} IfwDecodeCall;

// The integers about a row that choosing a token reads and writes.
enum {
    IFW_ROW_TOKEN = 0,            // the last one, chosen or of the prefix
    IFW_ROW_OFFSET = 1,           // its position
    IFW_ROW_IS_LIVE = 2,          // not looked at
    IFW_ROW_N_SAMPLED = 3,
    IFW_ROW_BEFORE = 4,           // the token sampled before; none: -1
    IFW_ROW_LAST_STAMP = 5,       // the last sampled timestamp, counted from timestamp_begin; none: -1
    IFW_ROW_HAS_GRAMMAR = 6,
    IFW_ROW_MAX_FIRST_STAMP = 7,
};

// 0 < eot <= no_timestamps < timestamp_begin < n_vocab.
typedef struct {
    int64_t n_vocab, eot, no_timestamps, timestamp_begin;
    int64_t n_begin_suppress;
    const int64_t* begin_suppress;  // below n_vocab
} IfwTokenRules;

// Rows for which a token is chosen, each once. Strides are in elements; the last axes are dense.
typedef struct {
    int64_t n_rows;
    const int64_t* rows;             // [n_rows], indices into logits and states
    float* logits;                   // [.., n_vocab], overwritten
    int64_t logits_stride;
    int64_t* states;                 // [8 or more, ..], brought forward
    int64_t states_stride;
    const int64_t* suppress;         // never chosen
    int64_t n_suppress;              // of all rows
    const int64_t* suppress_begins;  // [n_rows + 1], where each row's begin and all end; NULL: all rows have all
    int64_t* tokens;                 // [n_rows], out
    float* logprobs;                 // [n_rows], out: natural log of the token's probability under the rules
} IfwChoiceCall;

// A convolution with padding kernel / 2: 3 x 3 with stride 1 or 2, or 1 x 1 with stride 2. n_out is a multiple of `channels`.
typedef struct {
    int64_t n_in, n_out;
    int32_t kernel, stride;
    const float* weight;  // stride 1: [n_out / channels, 36, n_in, channels], transformed as Winograd's F(4 x 4, 3 x 3) has it;
                          // stride 2: [n_out / channels, kernel^2, n_in, channels]
    const float* bias;    // [n_out]
} IfwConvolution;

// relu(conv2(relu(conv1(x))) + shortcut(x)). conv2 has stride 1; conv1 and the shortcut have the same; NULL is x itself.
typedef struct {
    const IfwConvolution *conv1, *conv2, *shortcut;
} IfwBlock;

// relu(first(x)), then the blocks. A block with stride 2 has at most four times the channels that it is given.
typedef struct {
    int64_t n_rows, n_blocks;
    const IfwConvolution* first;
    const IfwBlock* blocks;
} IfwTrunk;

// Weight and bias of the norm of each column, with 16 values of room behind.
typedef struct {
    const float *weight, *bias;
} IfwColumnNorm;

// The front of a segmentation network.
typedef struct {
    int64_t stride;                    // samples from one place of the filters to the next
    float norm_weight, norm_bias;      // of the samples of a chunk
    float epsilon;                     // of all norms
    int32_t reserved;
    const float* even_filters;         // [126, 40 padded to whole vectors]: what sums of two samples are multiplied by
    const float* odd_filters;          // [125, 40 padded to whole vectors]: differences
    const float* filter_sums;          // [80]
    const IfwLinear* convolutions;     // two, float32, [5 rows x channels of the one before] inputs
    const IfwColumnNorm* norms;        // three
} IfwSincNet;

// Voice detection. All layers are float32; those of the encoder have [3 rows x channels of the one before] inputs.
typedef struct {
    IfwLinear cosines, sines;  // 128 sums, and differences, of two samples -> 128 bins, the lowest first; no bias
    const float* highest;      // [128], what sums are multiplied by for the highest bin, which has no sines
    IfwLinear encoder[4];      // 129, 128, 64, 64 channels -> 128, 64, 64, 128
    IfwLinear input_gates;     // 128 -> 512, with the biases of both
    IfwLinear hidden_gates;    // 128 -> 512, no bias
    const float* head;         // [128]
    float head_bias;
    int32_t reserved;
} IfwVoiceNetwork;

// One direction of a layer of an LSTM. Gates: in, keep, value, out, as torch has them; width is a multiple of 16.
typedef struct {
    IfwLinear input_gates;   // n_in -> 4 width, with the biases of both
    IfwLinear hidden_gates;  // width -> 4 width, no bias
} IfwLstmDirection;

// An LSTM; all of its layers multiply alike, in float32 or bfloat16.
typedef struct {
    int64_t n_layers, n_directions, width;
    const IfwLstmDirection* directions;  // [n_layers, n_directions]: forward, then backward
} IfwLstm;

// Energies of bands of the spectrum, frames of 400 samples, one every 160, in a Fourier transform of 512.
typedef struct {
    int64_t n_bands;
    float preemphasis;
    int32_t reserved;
    const float* window;        // [400]
    const float* cosines;       // [256] of i / 512 of a turn
    const float* sines;         // [256]
    const float* weights;       // of the bins of a band, band after band
    const int64_t* first_bins;  // [n_bands]; a band has bins below 256
    const int64_t* n_bins;      // [n_bands]
} IfwFilterBank;

// Vectors of int8 and their scales. The vectors of a token are [n_outer, n_inner], with strides in vectors; those of the next
// token follow.
typedef struct {
    int8_t* numbers;
    void* scales;  // float16
    int64_t n_outer, n_inner, outer_stride, inner_stride;
} IfwInt8Vectors;

// One set of kernels, for one instruction set. `name` is what the caller may ask for.
typedef struct {
    const char* name;
    int64_t panel;         // columns that are packed together; padded n_out is the next multiple of it
    int64_t lanes;         // floats of a vector
    int64_t channels;      // outputs of a convolution that are packed together
    int64_t has_bfloat16;  // whether it multiplies bfloat16; float32 and int8 it always does

    // Bytes that pack_linear writes to `packed`.
    int64_t (*packed_bytes)(int64_t n_in, int64_t n_out, int32_t arithmetic);
    // weight: [n_out, n_in] float32. scale and correction: [padded n_out], written for int8.
    void (*pack_linear)(const float* weight, int64_t n_in, int64_t n_out, int32_t arithmetic, void* packed,
                        float* scale, int32_t* correction);
    // y[n_rows, n_out] = linear(norm(x)), then GELU if asked, then + residual. norm and residual may be NULL.
    void (*linear)(const IfwTeam* team, const IfwLinear* layer, const IfwNorm* norm, const void* x,
                   const void* residual, void* y, int64_t n_rows, int32_t is_gelu);
    // qkv: [n_windows, n_positions, 3, n_heads, 64] -> out: [n_windows, n_positions, n_heads, 64], queries scaled.
    void (*encoder_attention)(const IfwTeam* team, const void* qkv, void* out, int64_t n_windows,
                              int64_t n_positions, int64_t n_heads, int32_t type);
    // query: [n_groups, n_queries, n_heads, 64], query_stride elements from one query to the next;
    // positions: [n_groups, n_queries], the last key that each query sees, or NULL for all -> out, dense.
    // Returns 0, or -1 where a position is not below n_keys: then nothing is computed.
    int32_t (*decode_attention)(const IfwTeam* team, const IfwCache* cache, const void* query, int64_t query_stride,
                                int64_t n_queries, const int64_t* positions, void* out);
    // Rounds vectors of 64 numbers to int8, with a scale each: the largest becomes 127. x: [n_tokens, n_vectors, 64] of
    // `type`, x_stride elements from one token to the next.
    void (*keep_int8)(const IfwTeam* team, const void* x, int64_t x_stride, int32_t type, int64_t n_tokens,
                      const IfwInt8Vectors* out);
    // The whole decoder: hidden states [n_rows, n_new, width] after the last norm. Returns 0, or -1 where a token or a
    // position is not there: then nothing is computed.
    int32_t (*decode)(const IfwTeam* team, const IfwDecoder* decoder, const IfwDecodeCall* call, void* out);
    // The next token of rows, greedily under the rules. Returns 0, or -1 where a suppressed token is not there: then
    // nothing is computed.
    int32_t (*choose_tokens)(const IfwTeam* team, const IfwTokenRules* rules, const IfwChoiceCall* call);
    // x: [n_images, n_rows, width] -> y: [n_images, channels, rows, columns] of the last block; in the calling thread.
    void (*residual_trunk)(const IfwTrunk* trunk, const float* x, int64_t n_images, int64_t width, float* y);
    // samples: the first chunk, and a step more for each other, a multiple of the stride -> features: [n_chunks, rows, n_out]
    // of the last convolution; in the calling thread.
    void (*sinc_net)(const IfwSincNet* net, const float* samples, int64_t n_chunks, int64_t chunk_samples,
                     int64_t step_samples, float* features);
    // samples: [400 + 160 (n_frames - 1)], n_frames at least 1 -> energies: [n_frames, n_bands]; in the calling thread.
    void (*filter_bank)(const IfwFilterBank* bank, const float* samples, int64_t n_frames, float* energies);
    // samples: [64 + 512 n_frames], 64 of context first -> probabilities: [n_frames] that somebody speaks. state: [2, 128], what
    // the LSTM keeps, brought forward. In the calling thread.
    void (*voice_network)(const IfwVoiceNetwork* net, const float* samples, int64_t n_frames, float* state,
                          float* probabilities);
    // x: [n_chunks, n_frames, n_in], all at least 1 -> hidden: [n_chunks, n_frames, n_directions, width] of the last layer, every
    // chunk from a state of zeros; in the calling thread.
    void (*lstm)(const IfwLstm* lstm, const float* x, int64_t n_chunks, int64_t n_frames, float* hidden);
    // scores: [n_tokens, n_positions], both at least 1, finite. Their softmax over the positions, standardised over the tokens,
    // and of that the median of seven positions is added to total, of the same shape; in the calling thread.
    void (*add_attention)(const float* scores, int64_t n_tokens, int64_t n_positions, float* total);
    // attention: [n_tokens, n_positions], both at least 1 -> starts: [n_tokens], where the path that collects most of it
    // reaches each token; in the calling thread.
    void (*token_starts)(const float* attention, int64_t n_tokens, int64_t n_positions, int64_t* starts);
} IfwKernels;

// The kernels of a name, or NULL where they were not built or this machine cannot run them. Best first: index from 0.
__attribute__((visibility("default"))) const IfwKernels* ifw_kernels(int32_t index);
// What the library was built from.
__attribute__((visibility("default"))) const char* ifw_kernels_source(void);

#ifdef __cplusplus
}
#endif
