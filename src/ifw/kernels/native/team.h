// Work that is split over threads: items of equal rank, taken from a counter.
#pragma once
#include <atomic>

#include "interface.h"

namespace IFW_LEVEL {

// Calls work(item) for 0 <= item < n_items, from up to team.n_threads threads. What an item computes depends on the item
// alone, so results do not depend on the number of threads.
template <class Work>
void for_each_item(const IfwTeam& team, int64_t n_items, const Work& work) {
    int64_t n_threads = team.n_threads < n_items ? team.n_threads : n_items;
    if (team.parallel == nullptr || n_threads <= 1) {
        for (int64_t item = 0; item < n_items; item++) work(item);
        return;
    }
    struct Shared {
        const Work& work;
        const int64_t n_items;
        std::atomic<int64_t> next;
    } shared{work, n_items, {0}};
    team.parallel(
        [](void* data) {
            Shared& shared = *static_cast<Shared*>(data);
            for (int64_t item; (item = shared.next.fetch_add(1, std::memory_order_relaxed)) < shared.n_items;)
                shared.work(item);
        },
        &shared, static_cast<unsigned>(n_threads), 0);
}

inline int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
inline int64_t round_up(int64_t value, int64_t to) { return divide_up(value, to) * to; }

}  // namespace IFW_LEVEL
