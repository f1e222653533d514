// Work that is split over threads: items of equal rank, taken from a counter. Long work runs in the threads of torch's OpenMP,
// short work in those of the crew.
#pragma once
#include <atomic>
#include <vector>

#include "crew.h"
#include "interface.h"

namespace IFW_LEVEL {

// The items of one call of for_each_item or share_items.
template <class Work>
struct Items {
    const Work& work;
    const int64_t n_items;
    std::atomic<int64_t> next{0};

    void run() {
        for (int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < n_items;) work(item);
    }
    static void run_in(void* items) { static_cast<Items*>(items)->run(); }
};

// Calls work(item) for 0 <= item < n_items, from up to team.n_threads threads. What an item computes depends on the item
// alone, so results do not depend on the number of threads.
template <class Work>
void for_each_item(const IfwTeam& team, int64_t n_items, const Work& work) {
    const int64_t n_threads = team.n_threads < n_items ? team.n_threads : n_items;
    Items<Work> items{work, n_items};
    if (team.parallel == nullptr || n_threads <= 1) return items.run();
    team.parallel(items.run_in, &items, static_cast<unsigned>(n_threads), 0);
}

// The same for short work.
template <class Work>
void share_items(const IfwTeam& team, int64_t n_items, const Work& work) {
    const int64_t n_threads = team.n_threads < n_items ? team.n_threads : n_items;
    Items<Work> items{work, n_items};
    Crew::only().share(items.run_in, &items, static_cast<unsigned>(n_threads));
}

// Threads that go through phases together: each phase has items, and begins when all items of the phase before are done. A
// thread may come late, or never: who waits for it waits for items that it has taken, and for nothing else.
class Phases {
public:
    Phases(const IfwTeam& team, int64_t n_phases) : team_(team), counters_(n_phases) {}

    template <class Work>
    void run(const Work& work) {
        if (team_.n_threads <= 1) return work(Phase{*this, false});
        struct Shared {
            Phases& phases;
            const Work& work;
        } shared{*this, work};
        Crew::only().share(
            [](void* data) {
                Shared& shared = *static_cast<Shared*>(data);
                shared.work(Phase{shared.phases, true});
            },
            &shared, static_cast<unsigned>(team_.n_threads));
    }

    // Where one thread is.
    class Phase {
    public:
        Phase(Phases& phases, bool has_others) : phases_(phases), has_others_(has_others) {}

        template <class Work>
        void operator()(int64_t n_items, const Work& work) {
            if (!has_others_) {
                for (int64_t item = 0; item < n_items; item++) work(item);
                return;
            }
            Counter& counter = phases_.counters_[index_++];
            int64_t n_done = 0;
            for (int64_t item; (item = counter.next.fetch_add(1, std::memory_order_relaxed)) < n_items; n_done++) work(item);
            if (n_done) counter.n_done.fetch_add(n_done, std::memory_order_acq_rel);
            for (Patience patience; counter.n_done.load(std::memory_order_acquire) < n_items;) patience.wait();
        }

    private:
        Phases& phases_;
        const bool has_others_;
        int64_t index_ = 0;
    };

private:
    struct alignas(64) Counter {
        std::atomic<int64_t> next{0}, n_done{0};
    };

    const IfwTeam& team_;
    std::vector<Counter> counters_;
};

inline int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
inline int64_t round_up(int64_t value, int64_t to) { return divide_up(value, to) * to; }

}  // namespace IFW_LEVEL
