// Energies of bands of the spectrum as Kaldi computes them: frames without their mean, with pre-emphasis, windowed; a Fourier
// transform of 512 samples, of which a frame fills the first 400; bands of its power.
//
// Lanes are frames. Pairs of samples go through a complex transform of half the size, by powers of two in place.
#pragma once
#include "crew.h"
#include "interface.h"
#include "scratch.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t FRAME_SAMPLES = 400, FRAME_HOP = 160;
constexpr int64_t POINTS_OF_PAIRS = 256;  // of the complex transform

// Where the transform wants each pair: the bits of its number in reverse.
struct Places {
    uint8_t of[POINTS_OF_PAIRS] = {};

    constexpr Places() {
        for (int i = 0; i < POINTS_OF_PAIRS; i++)
            for (int bit = 0; bit < 8; bit++) of[i] = static_cast<uint8_t>(of[i] | (i >> bit & 1) << (7 - bit));
    }
};
constexpr Places PLACES;

// Frames of consecutive starts, those beyond the last as the last: to[place of a pair][real, imaginary][frame].
inline void window_frames(const IfwFilterBank& bank, const float* samples, int64_t n_frames, float* frames, float* to) {
    for (int64_t frame = 0; frame < LANES; frame++) {
        const float* const from = samples + (frame < n_frames ? frame : n_frames - 1) * FRAME_HOP;
        for (int64_t i = 0; i < FRAME_SAMPLES; i++) frames[i * LANES + frame] = from[i];
    }
    Floats sums[4] = {zeros(), zeros(), zeros(), zeros()};
    for (int64_t i = 0; i < FRAME_SAMPLES; i++) sums[i % 4] = add(sums[i % 4], load(frames + i * LANES));
    const Floats mean = mul(add(add(sums[0], sums[1]), add(sums[2], sums[3])), all(1.0f / FRAME_SAMPLES));
    const Floats emphasis = all(-bank.preemphasis);
    Floats before = sub(load(frames), mean);
    for (int64_t i = 0; i < FRAME_SAMPLES; i++) {
        const Floats here = sub(load(frames + i * LANES), mean);
        store(to + (2 * PLACES.of[i / 2] + i % 2) * LANES, mul(fma(emphasis, before, here), all(bank.window[i])));
        before = here;
    }
    for (int64_t i = FRAME_SAMPLES; i < 2 * POINTS_OF_PAIRS; i++)
        store(to + (2 * PLACES.of[i / 2] + i % 2) * LANES, zeros());
}

struct Complex {
    Floats real, imaginary;
};
inline Complex load_complex(const float* p) { return {load(p), load(p + LANES)}; }
inline void store_complex(float* p, Complex x) { store(p, x.real), store(p + LANES, x.imaginary); }
inline Complex turned(Complex x, float cosine, float sine) {  // x times cosine - i sine
    const Floats c = all(cosine), s = all(sine);
    return {fma(c, x.real, mul(s, x.imaginary)), sub(mul(c, x.imaginary), mul(s, x.real))};
}

// x: [POINTS_OF_PAIRS, real and imaginary], in the order of reversed bits.
inline void transform_pairs(const IfwFilterBank& bank, float* x) {
    for (int64_t half = 1; half < POINTS_OF_PAIRS; half *= 2)
        for (int64_t k = 0; k < half; k++) {
            const int64_t angle = 2 * k * (POINTS_OF_PAIRS / (2 * half));
            const float cosine = bank.cosines[angle], sine = bank.sines[angle];
            for (int64_t i = k; i < POINTS_OF_PAIRS; i += 2 * half) {
                float* const low = x + 2 * i * LANES;
                float* const high = low + 2 * half * LANES;
                const Complex a = load_complex(low), b = turned(load_complex(high), cosine, sine);
                store_complex(low, {add(a.real, b.real), add(a.imaginary, b.imaginary)});
                store_complex(high, {sub(a.real, b.real), sub(a.imaginary, b.imaginary)});
            }
        }
}

// The spectrum of pairs -> the power of bins 0 to 255 of what they are pairs of, without the highest. In place would do, but
// for bin 0 and 128 all come in twos.
inline void powers_of(const IfwFilterBank& bank, const float* x, float* powers) {
    const auto power = [](Floats real, Floats imaginary) { return fma(real, real, mul(imaginary, imaginary)); };
    store(powers, power(add(load(x), load(x + LANES)), zeros()));
    for (int64_t k = 1; k <= POINTS_OF_PAIRS / 2; k++) {
        const int64_t mirrored = POINTS_OF_PAIRS - k;
        const Complex a = load_complex(x + 2 * k * LANES), b = load_complex(x + 2 * mirrored * LANES);
        const Floats half = all(0.5f);
        const Complex even = {mul(half, add(a.real, b.real)), mul(half, sub(a.imaginary, b.imaginary))};
        const Complex odd = turned({mul(half, add(a.imaginary, b.imaginary)), mul(half, sub(b.real, a.real))},
                                   bank.cosines[k], bank.sines[k]);
        store(powers + k * LANES, power(add(even.real, odd.real), add(even.imaginary, odd.imaginary)));
        store(powers + mirrored * LANES, power(sub(even.real, odd.real), sub(even.imaginary, odd.imaginary)));
    }
}

// samples: those of n_frames frames -> energies: [n_frames, n_bands].
inline void filter_bank(const IfwFilterBank* bank, const float* samples, int64_t n_frames, float* energies) {
    const Crew::Volunteer volunteer;
    static thread_local Scratch memory;
    constexpr int64_t SPECTRUM = 2 * POINTS_OF_PAIRS * LANES;
    float* const frames = memory.get<float>(2 * SPECTRUM);  // and then the powers
    float* const spectrum = frames + SPECTRUM;
    for (int64_t first = 0; first < n_frames; first += LANES) {
        const int64_t n = n_frames - first < LANES ? n_frames - first : LANES;
        Crew::lend_a_hand();
        window_frames(*bank, samples + first * FRAME_HOP, n, frames, spectrum);
        transform_pairs(*bank, spectrum);
        powers_of(*bank, spectrum, frames);
        const float* weight = bank->weights;
        for (int64_t band = 0; band < bank->n_bands; band++) {
            Floats sum = zeros();
            for (int64_t bin = bank->first_bins[band]; bin < bank->first_bins[band] + bank->n_bins[band]; bin++)
                sum = fma(all(*weight++), load(frames + bin * LANES), sum);
            alignas(64) float sums[LANES];
            store(sums, sum);
            for (int64_t i = 0; i < n; i++) energies[(first + i) * bank->n_bands + band] = sums[i];
        }
    }
}

}  // namespace IFW_LEVEL
