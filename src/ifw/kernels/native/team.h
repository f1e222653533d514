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

// The threads of one parallel region that go through phases together: each phase has items, and begins when all items of
// the phase before have ended. The work is run by every thread, and all of them run the same phases.
class Phases {
public:
    Phases(const IfwTeam& team, int64_t n_phases) : team_(team), next_(n_phases) {}

    template <class Work>
    void run(const Work& work) {
        if (team_.parallel == nullptr || team_.n_threads <= 1) return work(Phase{*this, false});
        struct Shared {
            Phases& phases;
            const Work& work;
        } shared{*this, work};
        team_.parallel(
            [](void* data) {
                Shared& shared = *static_cast<Shared*>(data);
                shared.work(Phase{shared.phases, true});
            },
            &shared, static_cast<unsigned>(team_.n_threads), 0);
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
            std::atomic<int64_t>& next = phases_.next_[index_++];
            for (int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < n_items;) work(item);
            phases_.team_.barrier();
        }

    private:
        Phases& phases_;
        const bool has_others_;
        int64_t index_ = 0;
    };

private:
    struct Counters {
        explicit Counters(int64_t n) : values(new std::atomic<int64_t>[n]()) {}
        ~Counters() { delete[] values; }
        Counters(const Counters&) = delete;
        Counters& operator=(const Counters&) = delete;
        std::atomic<int64_t>& operator[](int64_t i) { return values[i]; }
        std::atomic<int64_t>* values;
    };

    const IfwTeam& team_;
    Counters next_;
};

inline int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
inline int64_t round_up(int64_t value, int64_t to) { return divide_up(value, to) * to; }

}  // namespace IFW_LEVEL
