// The next token of every row: suppression, the grammar of timestamps, the likeliest token and its probability, and the row's
// state behind it. A row's logits are read twice, out of the cache: for the largest, and for the sum of their exponentials.
#pragma once
#include <float.h>

#include "interface.h"
#include "team.h"
#include "vector.h"

namespace IFW_LEVEL {

constexpr int64_t ROWS_PER_CHOOSER = 4;  // fewer rows a thread are done before it has come
constexpr int64_t CHAINS = 4;            // independent sums or maxima: each waits for itself alone
constexpr int64_t PEAK_BLOCK = 1024;     // a multiple of CHAINS * LANES: what is searched for the place of the largest

// The largest of some logits.
struct Peak {
    float value = -INFINITY;  // NaN left aside
    int64_t block = 0;        // the first block that has it
    bool is_finite = true;    // there is neither NaN nor +inf
};

// Calls work(vector, chain) for all of x; behind the end it is -inf.
template <class Work>
inline void for_each_vector(const float* x, int64_t n, const Work& work) {
    int64_t i = 0;
    for (; i + CHAINS * LANES <= n; i += CHAINS * LANES)
#pragma GCC unroll 4
        for (int64_t chain = 0; chain < CHAINS; chain++) work(load(x + i + chain * LANES), chain);
    for (; i < n; i += LANES) {
        float part[LANES];
        for (int64_t lane = 0; lane < LANES; lane++) part[lane] = i + lane < n ? x[i + lane] : -INFINITY;
        work(load(part), 0);
    }
}

inline Peak find_peak(const float* x, int64_t n) {
    Peak peak;
    Floats check = zeros();
    for (int64_t begin = 0; begin < n; begin += PEAK_BLOCK) {
        Floats largest[CHAINS], checks[CHAINS];
        for (auto& one : largest) one = all(-INFINITY);
        for (auto& one : checks) one = zeros();
        for_each_vector(x + begin, n - begin < PEAK_BLOCK ? n - begin : PEAK_BLOCK, [&](Floats values, int64_t chain) {
            largest[chain] = max(values, largest[chain]);
            checks[chain] = fma(max(all(-FLT_MAX), values), zeros(), checks[chain]);  // 0, or NaN
        });
        const float value = max_of(max(max(largest[0], largest[1]), max(largest[2], largest[3])));
        check = add(check, add(add(checks[0], checks[1]), add(checks[2], checks[3])));
        if (value > peak.value) {
            peak.value = value;
            peak.block = begin;
        }
    }
    peak.is_finite = sum_of(check) == 0.0f;
    return peak;
}

// Sum of exp(x - most); most is at least the largest x, and finite.
inline float sum_exponentials(const float* x, int64_t n, float most) {
    Floats sums[CHAINS];
    for (auto& one : sums) one = zeros();
    for_each_vector(x, n, [&](Floats values, int64_t chain) {
        sums[chain] = add(sums[chain], exponential(sub(values, all(most))));
    });
    return sum_of(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

// log(sum(exp(x))) with `peak` of x; above nothing where all x are -inf.
inline float log_sum_exponentials(const float* x, int64_t n, const Peak& peak) {
    return peak.value + logf(sum_exponentials(x, n, peak.value));
}

// NaN where there is one, else the largest.
inline float largest_or_nan(const float* x, int64_t n) {
    float largest = -INFINITY;
    for (int64_t i = 0; i < n && largest == largest; i++)
        if (!(x[i] <= largest)) largest = x[i];
    return largest;
}

// What the grammar says to one row before its logits are looked at.
struct Grammar {
    bool begins, applies, is_first;
    bool is_closed, is_open;   // closed: the last token ended a pair of timestamps; open: it began one
    int64_t lowest, highest;   // timestamps that may come, as far as there are such

    Grammar(const IfwTokenRules& rules, const int64_t* state, int64_t stride) {
        const int64_t before = state[IFW_ROW_BEFORE * stride];
        begins = state[IFW_ROW_N_SAMPLED * stride] == 0;
        const bool last_is_stamp = !begins && state[IFW_ROW_TOKEN * stride] >= rules.timestamp_begin;
        const bool before_is_stamp = before == -1 || before >= rules.timestamp_begin;
        applies = state[IFW_ROW_HAS_GRAMMAR * stride] > 0;
        is_first = applies && begins;
        is_closed = applies && last_is_stamp && before_is_stamp;
        is_open = applies && last_is_stamp && !before_is_stamp;
        const int64_t last = rules.n_vocab - rules.timestamp_begin - 1;
        lowest = applies ? state[IFW_ROW_LAST_STAMP * stride] + 1 - is_open : 0;
        highest = is_first ? state[IFW_ROW_MAX_FIRST_STAMP * stride] : last;
        if (is_closed) highest = -1;
        if (lowest < 0) lowest = 0;
        if (highest > last) highest = last;
        if (lowest > highest) lowest = 0, highest = -1;
    }
};

// The logits that may be chosen, but for what the mass of the timestamps decides.
struct Ranges {
    float *text, *special, *stamps;
    int64_t n_text, n_special, n_stamps;
};

// Single tokens that are not chosen become -inf. NaN stays where torch adds -inf.
inline void suppress(const IfwTokenRules& rules, const int64_t* ids, int64_t n_ids, const Grammar& grammar,
                     float* logits) {
    for (int64_t i = 0; i < n_ids; i++) logits[ids[i]] = -INFINITY;
    if (grammar.begins)
        for (int64_t i = 0; i < rules.n_begin_suppress; i++) logits[rules.begin_suppress[i]] += -INFINITY;
    if (grammar.applies) logits[rules.no_timestamps] += -INFINITY;
}

struct Choice {
    int64_t token;
    float logprob;
};

// The choice where a logit is NaN or +inf: torch's, which is that one, and its probability is NaN.
inline Choice choose_not_finite(const Grammar& grammar, const Ranges& r, const float* logits) {
    // The mass of timestamps matters here only where it is +inf or NaN, as the largest then is.
    const float stamps = largest_or_nan(r.stamps, r.n_stamps);
    const bool exceeds = stamps > largest_or_nan(r.text, r.n_text) && stamps > largest_or_nan(r.special, r.n_special);
    const bool must_be_stamp = grammar.is_first || (grammar.applies && exceeds);
    if (grammar.is_open || must_be_stamp)
        for (int64_t i = 0; i < r.n_text; i++) r.text[i] += -INFINITY;  // +inf becomes NaN
    if (must_be_stamp)
        for (int64_t i = 0; i < r.n_special; i++) r.special[i] += -INFINITY;
    const float* best = logits;
    const auto look_at = [&](const float* x, int64_t n) {
        for (int64_t i = 0; i < n && *best == *best; i++)
            if (!(x[i] <= *best)) best = x + i;
    };
    look_at(r.text, r.n_text);
    look_at(r.special, r.n_special);
    look_at(r.stamps, r.n_stamps);
    return {best - logits, NAN};
}

inline Choice choose_token(const IfwTokenRules& rules, const Grammar& grammar, float* logits) {
    const Ranges r{logits,    logits + rules.eot, logits + rules.timestamp_begin + grammar.lowest,
                   rules.eot, rules.timestamp_begin - rules.eot, grammar.highest - grammar.lowest + 1};
    const Peak text = find_peak(r.text, r.n_text), special = find_peak(r.special, r.n_special);
    const Peak stamps = find_peak(r.stamps, r.n_stamps);
    if (!text.is_finite || !special.is_finite || !stamps.is_finite)
        return choose_not_finite(grammar, r, logits);
    bool must_be_stamp = grammar.is_first;
    if (grammar.applies && !must_be_stamp) {
        const float best = fmaxf(grammar.is_open ? -INFINITY : text.value, special.value);
        must_be_stamp = log_sum_exponentials(r.stamps, r.n_stamps, stamps) > best;
    }
    const struct {
        const float* logits;
        int64_t n;
        const Peak& peak;
    } open[] = {{r.text, grammar.is_open || must_be_stamp ? 0 : r.n_text, text},
                {r.special, must_be_stamp ? 0 : r.n_special, special},
                {r.stamps, r.n_stamps, stamps}};
    float most = -INFINITY;
    int64_t token = 0;
    for (const auto& range : open) {
        if (range.n == 0 || !(range.peak.value > most)) continue;
        most = range.peak.value;
        int64_t place = range.peak.block;
        while (range.logits[place] != most) place++;
        token = range.logits + place - logits;
    }
    if (most == -INFINITY) return {0, NAN};  // nothing is possible
    float sum = 0.0f;
    for (const auto& range : open) sum += sum_exponentials(range.logits, range.n, most);
    return {token, -logf(sum)};
}

inline void append_token(const IfwTokenRules& rules, int64_t* state, int64_t stride, int64_t token) {
    if (token >= rules.timestamp_begin) state[IFW_ROW_LAST_STAMP * stride] = token - rules.timestamp_begin;
    state[IFW_ROW_BEFORE * stride] = state[IFW_ROW_N_SAMPLED * stride] > 0 ? state[IFW_ROW_TOKEN * stride] : -1;
    state[IFW_ROW_TOKEN * stride] = token;
    state[IFW_ROW_OFFSET * stride]++;
    state[IFW_ROW_N_SAMPLED * stride]++;
}

inline int32_t choose_tokens(const IfwTeam* team, const IfwTokenRules* rules, const IfwChoiceCall* call) {
    const int64_t n_ids = call->suppress_begins == nullptr ? call->n_suppress : call->suppress_begins[call->n_rows];
    for (int64_t i = 0; i < n_ids; i++)
        if (call->suppress[i] < 0 || call->suppress[i] >= rules->n_vocab) return -1;
    IfwTeam chosen = *team;
    const int64_t most_threads = divide_up(call->n_rows, ROWS_PER_CHOOSER);
    if (chosen.n_threads > most_threads) chosen.n_threads = most_threads;
    for_each_item(chosen, call->n_rows, [&](int64_t item) {
        const int64_t row = call->rows[item], stride = call->states_stride;
        const int64_t begin = call->suppress_begins == nullptr ? 0 : call->suppress_begins[item];
        const int64_t end = call->suppress_begins == nullptr ? n_ids : call->suppress_begins[item + 1];
        float* logits = call->logits + row * call->logits_stride;
        int64_t* state = call->states + row;
        const Grammar grammar(*rules, state, stride);
        suppress(*rules, call->suppress + begin, end - begin, grammar, logits);
        const Choice choice = choose_token(*rules, grammar, logits);
        call->tokens[item] = choice.token;
        call->logprobs[item] = choice.logprob;
        append_token(*rules, state, stride, choice.token);
    });
    return 0;
}

}  // namespace IFW_LEVEL
