// Threads that help with the work of a call: who is awake joins in, and nobody is waited for who has not begun.
//
// A parallel region of OpenMP begins when all its threads have woken up, and ends when the last of them has. A call of a tenth of
// a millisecond would wait longer than it takes, and on a busy machine, where who slept comes back after others have had their
// turn, many times as long.
#pragma once
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace IFW_LEVEL {

// When volunteers are left alone: for a while after somebody has waited long for another thread.
class Rest {
public:
    static void begin() { until_ms_.store(now_ms() + REST_MS, std::memory_order_relaxed); }
    static bool is_over() { return now_ms() >= until_ms_.load(std::memory_order_relaxed); }

    static int64_t now_ms() {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }

private:
    static constexpr int64_t REST_MS = 100;

    static inline std::atomic<int64_t> until_ms_{0};
};

// Waiting for another thread that should be done in a moment, unless it was interrupted.
class Patience {
public:
    void wait() {
        if (n_looks_++ < MOST_LOOKS) return __builtin_ia32_pause();
        if (n_looks_ == MOST_LOOKS + 1) since_ms_ = Rest::now_ms();
        sched_yield();
        if (Rest::now_ms() - since_ms_ >= LONG_MS) Rest::begin();
    }

private:
    static constexpr int MOST_LOOKS = 20000;  // about half a millisecond: whoever yields to another may not be back for longer
    static constexpr int64_t LONG_MS = 8;
    int n_looks_ = 0;
    int64_t since_ms_ = 0;
};

class alignas(64) Crew {
public:
    // Runs body(data) in the calling thread and in up to n_threads - 1 others, volunteers or those of a crew that is free; returns
    // when all that began have ended. Where several work at the same time, each has a crew; beyond MOST_CREWS they work alone.
    static void share(void (*body)(void*), void* data, unsigned n_threads) {
        if (n_threads <= 1) return body(data);
        for (int i = 0; i < MOST_CREWS; i++)
            if (!all()[i].is_helping_.exchange(true, std::memory_order_acquire)) return all()[i].help(body, data, n_threads);
        body(data);
    }

    // While it lives, its thread is a volunteer: it lends a hand at least every tenth of a millisecond.
    class Volunteer {
    public:
        Volunteer() { n_volunteers_.fetch_add(1, std::memory_order_relaxed); }
        ~Volunteer() { n_volunteers_.fetch_sub(1, std::memory_order_relaxed); }
        Volunteer(const Volunteer&) = delete;
    };

    // Joins in the calls that have a place for a volunteer.
    static void lend_a_hand() {
        if (!n_open_.load(std::memory_order_relaxed)) return;
        for (int i = 0; i < MOST_CREWS; i++)
            if (all()[i].take_place(VOLUNTEERS_PLACE)) all()[i].work();
    }

private:
    static constexpr int MOST_CREWS = 8;

    static Crew* all() {
        static Crew* const crews = [] {
            pthread_atfork(nullptr, nullptr, forget_threads);
            return new Crew[MOST_CREWS];  // never deleted: their threads may outlive everything else
        }();
        return crews;
    }

    // In a child process, where all threads but one are gone.
    static void forget_threads() {
        n_volunteers_ = n_open_ = 0;
        for (int i = 0; i < MOST_CREWS; i++) {
            Crew& crew = all()[i];
            crew.n_threads_ = 0, crew.n_asleep_ = 0, crew.places_ = 0, crew.is_helping_ = false;
        }
    }

    void help(void (*body)(void*), void* data, unsigned n_threads) {
        const unsigned n_wanted = n_threads - 1, n_there = Rest::is_over() ? n_volunteers_.load() : 0;
        const unsigned n_lending = n_there < n_wanted ? n_there : n_wanted, n_helping = n_wanted - n_lending;
        recruit(n_helping);
        body_ = body, data_ = data;
        places_.store(HELPERS_PLACE * n_helping + VOLUNTEERS_PLACE * n_lending, std::memory_order_release);
        if (n_helping) call_for(n_helping);
        if (n_lending) n_open_.fetch_add(1, std::memory_order_relaxed);
        body(data);
        if (n_lending) n_open_.fetch_sub(1, std::memory_order_relaxed);
        places_.fetch_and(HELPERS_PLACE - 1, std::memory_order_acq_rel);  // nobody joins any more
        for (Patience patience; places_.load(std::memory_order_acquire);) patience.wait();
        is_helping_.store(false, std::memory_order_release);
    }

    void call_for(unsigned n_helpers) {
        call_.fetch_add(1, std::memory_order_seq_cst);
        if (n_asleep_.load(std::memory_order_seq_cst))
            syscall(SYS_futex, &call_, FUTEX_WAKE_PRIVATE, n_helpers, nullptr, nullptr, 0);
    }

    static constexpr uint64_t HELPERS_PLACE = uint64_t{1} << 32, VOLUNTEERS_PLACE = uint64_t{1} << 48;
    static constexpr uint64_t MOST_PLACES = 0xffff;
    // For the next call before a thread sleeps: about 100 microseconds, or a few, where its core may be wanted.
    static constexpr int MOST_LOOKS = 4000, FEW_LOOKS = 200;

    void recruit(unsigned n_wanted) {
        if (n_threads_ >= n_wanted) return;
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the threads of the program
        for (; n_threads_ < n_wanted; n_threads_++) {
            pthread_t thread;
            const auto serve = [](void* crew) -> void* { static_cast<Crew*>(crew)->serve(); };
            if (pthread_create(&thread, nullptr, serve, this)) break;  // then fewer help
            pthread_detach(thread);
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    [[noreturn]] void serve() {
        for (uint32_t last_call = 0;;) {
            last_call = wait_for_call(last_call);
            if (take_place(HELPERS_PLACE)) work();
        }
    }

    void work() {
        body_(data_);
        places_.fetch_sub(1, std::memory_order_release);
    }

    uint32_t wait_for_call(uint32_t last_call) {
        uint32_t call;
        const int most_looks = n_volunteers_.load(std::memory_order_relaxed) ? FEW_LOOKS : MOST_LOOKS;
        for (int look = 0; look < most_looks; look++) {
            if ((call = call_.load(std::memory_order_acquire)) != last_call) return call;
            __builtin_ia32_pause();
        }
        n_asleep_.fetch_add(1, std::memory_order_seq_cst);
        while ((call = call_.load(std::memory_order_seq_cst)) == last_call)
            syscall(SYS_futex, &call_, FUTEX_WAIT_PRIVATE, last_call, nullptr, nullptr, 0);
        n_asleep_.fetch_sub(1, std::memory_order_seq_cst);
        return call;
    }

    // Makes a free place of a kind a taken one.
    bool take_place(uint64_t kind) {
        uint64_t places = places_.load(std::memory_order_acquire);
        while (places & kind * MOST_PLACES)
            if (places_.compare_exchange_weak(places, places - kind + 1, std::memory_order_acq_rel)) return true;
        return false;
    }

    static inline std::atomic<unsigned> n_volunteers_{0};
    alignas(64) static inline std::atomic<unsigned> n_open_{0};  // calls with places for them

    std::atomic<bool> is_helping_{false};
    alignas(64) std::atomic<uint64_t> places_{0};  // taken ones, and for each that is free, whom it is for
    alignas(64) std::atomic<uint32_t> call_{0};
    std::atomic<int> n_asleep_{0};
    void (*body_)(void*) = nullptr;
    void* data_ = nullptr;
    unsigned n_threads_ = 0;
};

}  // namespace IFW_LEVEL
