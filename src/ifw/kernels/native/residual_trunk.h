// The trunk of a residual network: a convolution, then blocks of two beside a shortcut.
#pragma once
#include "convolution.h"

namespace IFW_LEVEL {

inline void convolve(const IfwConvolution& layer, const Image& in, const Image& out, bool is_added, bool is_relu) {
    const Ending ending{layer.bias, is_added, is_relu};
    if (layer.stride == 1) convolve_tiles(layer.weight, in, out, ending);
    else if (layer.kernel == 3) convolve_halving(layer.weight, TAPS_OF_3, in, out, ending);
    else convolve_halving(layer.weight, TAPS_OF_1, in, out, ending);
}

inline Image size_after(const IfwConvolution& layer, const Image& in) {
    return {nullptr, layer.n_out, divide_up(in.n_rows, layer.stride), divide_up(in.width, layer.stride)};
}

inline Image image_after(const IfwConvolution& layer, const Image& in, float* data) {
    Image image = size_after(layer, in);
    image.data = data;
    image.clear_margins();
    return image;
}

inline void load_image(const float* x, const Image& image) {
    for (int64_t row = 0; row < image.n_rows; row++, x += image.width)
        for (int64_t part = 0; part < 4; part++) {
            float* to = image.at(0, row, part);
            const int64_t n = (image.width + 3 - part) / 4;
            for (int64_t i = 0; i < n; i++) to[i] = x[4 * i + part];
            for (int64_t i = n; i < image.n_vectors() * LANES; i++) to[i] = 0;
        }
}

inline void store_image(const Image& image, float* y) {
    for (int64_t channel = 0; channel < image.n_channels; channel++)
        for (int64_t row = 0; row < image.n_rows; row++, y += image.width)
            for (int64_t i = 0; i < image.width; i++) y[i] = image.at(channel, row, i % 4)[i / 4];
}

// Floats of the largest image.
inline int64_t most_floats(const IfwTrunk& trunk, int64_t width) {
    Image image{nullptr, trunk.first->n_out, trunk.n_rows, width};
    int64_t most = image.size();
    for (int64_t i = 0; i < trunk.n_blocks; i++) {
        image = size_after(*trunk.blocks[i].conv1, image);
        most = image.size() > most ? image.size() : most;
    }
    return most;
}

// x: [n_rows, width] -> y: [channels of the last block, rows, columns].
inline void residual_trunk_of_one(const IfwTrunk& trunk, const float* x, int64_t width, float* y) {
    static thread_local Scratch memory;
    const int64_t size = round_up(most_floats(trunk, width), LANES);
    float* buffers[3];
    buffers[0] = memory.get<float>(3 * size);
    buffers[1] = buffers[0] + size, buffers[2] = buffers[1] + size;
    const Image input{buffers[1], 1, trunk.n_rows, width};
    input.clear_margins();
    load_image(x, input);
    Image here = image_after(*trunk.first, input, buffers[0]);
    convolve(*trunk.first, input, here, false, true);
    for (int64_t i = 0; i < trunk.n_blocks; i++) {
        const IfwBlock& block = trunk.blocks[i];
        const Image inner = image_after(*block.conv1, here, buffers[1]);
        convolve(*block.conv1, here, inner, false, true);
        if (block.shortcut != nullptr) {
            const Image shorter = image_after(*block.shortcut, here, buffers[2]);
            convolve(*block.shortcut, here, shorter, false, false);
            here = shorter;
            float* const free = buffers[0];
            buffers[0] = buffers[2], buffers[2] = free;
        }
        convolve(*block.conv2, inner, here, true, true);
    }
    store_image(here, y);
}

inline void residual_trunk(const IfwTrunk* trunk, const float* x, int64_t n_images, int64_t width, float* y) {
    const Crew::Volunteer volunteer;
    Image last{nullptr, trunk->first->n_out, trunk->n_rows, width};
    for (int64_t i = 0; i < trunk->n_blocks; i++) last = size_after(*trunk->blocks[i].conv1, last);
    const int64_t n_outputs = last.n_channels * last.n_rows * last.width;
    for (int64_t i = 0; i < n_images; i++)
        residual_trunk_of_one(*trunk, x + i * trunk->n_rows * width, width, y + i * n_outputs);
}

}  // namespace IFW_LEVEL
