// Work that is split over threads: items of equal rank, taken from a counter.
#pragma once
#include <atomic>
#include <vector>

#include "crew.h"
#include "interface.h"

namespace IFW_LEVEL {

// The items of one call.
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
    Crew::share(items.run_in, &items, static_cast<unsigned>(n_threads));
}

constexpr int64_t WORTH_A_THREAD = 16 << 20;  // multiplications: half a millisecond

// The team without the threads that short work does not need: one that waits in vain takes a core from others.
inline IfwTeam team_for(const IfwTeam& team, int64_t n_multiplications) {
    const int64_t useful = 1 + n_multiplications / WORTH_A_THREAD;
    return {team.n_threads < useful ? team.n_threads : useful};
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
        Crew::share(
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
