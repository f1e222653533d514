// Dynamic time warping: where each token begins on the monotone path that collects most attention.
#pragma once
#include <math.h>
#include <stdint.h>

#include "scratch.h"

namespace IFW_LEVEL {

// attention: [n_tokens, n_positions], both at least 1 -> starts: [n_tokens]. Sums are made in the order of the columns, in
// double precision, and ties go to the path that stays in its column's row; so every implementation finds the same path.
inline void token_starts(const float* attention, int64_t n_tokens, int64_t n_positions, int64_t* starts) {
    static thread_local Scratch costs, places;
    double* const above = costs.get<double>(n_positions + 1);        // cost of the row before, behind a border
    int32_t* const entries = places.get<int32_t>(2 * n_tokens * n_positions);  // where the best path to here came into the row
    int32_t* const is_diagonal = entries + n_tokens * n_positions;   // it came from the position before, not from the same one
    above[0] = 0;
    for (int64_t i = 1; i <= n_positions; i++) above[i] = INFINITY;
    for (int64_t token = 0; token < n_tokens; token++) {
        const float* const row = attention + token * n_positions;
        double total = 0, best = 0, before = above[0];
        int32_t entry = 0;
        for (int64_t i = 0; i < n_positions; i++) {
            const double cost = -static_cast<double>(row[i]), same = above[i + 1];
            total += cost;
            is_diagonal[token * n_positions + i] = before < same;
            const double arrival = (before < same ? before : same) - (total - cost);
            if (i == 0 || arrival < best) best = arrival, entry = static_cast<int32_t>(i);
            entries[token * n_positions + i] = entry;
            before = same;
            above[i + 1] = best + total;
        }
        above[0] = INFINITY;
    }
    int64_t place = n_positions - 1;
    for (int64_t token = n_tokens - 1; token >= 0; token--) {
        starts[token] = place = entries[token * n_positions + place];
        place -= is_diagonal[token * n_positions + place];
    }
}

}  // namespace IFW_LEVEL
