// The inner loop of every product: up to ROWS rows of inputs times one panel of packed weights.
//
// Both sides are 32-bit words, each of which holds WORD_VALUES values that follow one another in the inner dimension. Inputs
// lie row by row. A panel holds, word by word, the PANEL columns side by side.
#pragma once
#include "vector.h"

namespace IFW_LEVEL {

// Hands on N_ROWS x VECTORS sums: use(first_row, sums).
template <class Kind, int N_ROWS, class Use>
inline void multiply_block(const uint32_t* inputs, int64_t row_words, int64_t first_row, const uint32_t* panel,
                           int64_t n_words, const Use& use) {
    typename Kind::Sums sums[N_ROWS][VECTORS];  // never handed on, so that it stays in registers
    inputs += first_row * row_words;
#pragma GCC unroll 6
    for (int row = 0; row < N_ROWS; row++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) sums[row][v] = Kind::zeros();
    for (int64_t word = 0; word < n_words; word++, panel += PANEL) {
#pragma GCC unroll 6
        for (int row = 0; row < N_ROWS; row++) {
            const auto input = Kind::broadcast(inputs + row * row_words + word);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sums[row][v] = Kind::multiply(sums[row][v], input, panel + v * LANES);
        }
    }
    typename Kind::Sums done[N_ROWS][VECTORS];
    for (int row = 0; row < N_ROWS; row++)
        for (int v = 0; v < VECTORS; v++) done[row][v] = sums[row][v];
    use(first_row, done);
}

// Multiplies the rows from first_row to before n_rows with a panel, ROWS at a time. A row's sums do not depend on how many
// rows come with it.
template <class Kind, int N_ROWS = ROWS, class Use>
inline void multiply(const uint32_t* inputs, int64_t row_words, int64_t first_row, int64_t n_rows,
                     const uint32_t* panel, int64_t n_words, const Use& use) {
    for (; n_rows - first_row >= N_ROWS; first_row += N_ROWS)
        multiply_block<Kind, N_ROWS>(inputs, row_words, first_row, panel, n_words, use);
    if constexpr (N_ROWS > 1)
        if (first_row < n_rows)
            multiply<Kind, N_ROWS - 1>(inputs, row_words, first_row, n_rows, panel, n_words, use);
}

}  // namespace IFW_LEVEL
