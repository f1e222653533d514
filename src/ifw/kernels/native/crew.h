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
#include <unistd.h>

#include <atomic>

namespace IFW_LEVEL {

// Waiting for another thread that should be done in a moment, unless it was interrupted.
class Patience {
public:
    void wait() {
        if (n_looks_++ < MOST_LOOKS) __builtin_ia32_pause();
        else sched_yield();
    }

private:
    static constexpr int MOST_LOOKS = 500;
    int n_looks_ = 0;
};

class alignas(64) Crew {
public:
    // Runs body(data) in the calling thread and in up to n_threads - 1 of a crew that is free; returns when all that began have
    // ended. Where several work at the same time, each has a crew; beyond MOST_CREWS they work alone.
    static void share(void (*body)(void*), void* data, unsigned n_threads) {
        static Crew* const crews = new Crew[MOST_CREWS];  // never deleted: their threads may outlive everything else
        if (n_threads <= 1) return body(data);
        for (int i = 0; i < MOST_CREWS; i++)
            if (!crews[i].is_helping_.exchange(true, std::memory_order_acquire)) return crews[i].help(body, data, n_threads);
        body(data);
    }

private:
    static constexpr int MOST_CREWS = 8;

    void help(void (*body)(void*), void* data, unsigned n_threads) {
        recruit(n_threads - 1);
        body_ = body, data_ = data;
        places_.store(PLACE * (n_threads - 1), std::memory_order_release);
        call_.fetch_add(1, std::memory_order_seq_cst);
        if (n_asleep_.load(std::memory_order_seq_cst))
            syscall(SYS_futex, &call_, FUTEX_WAKE_PRIVATE, n_threads - 1, nullptr, nullptr, 0);
        body(data);
        places_.fetch_and(PLACE - 1, std::memory_order_acq_rel);  // nobody joins any more
        for (Patience patience; places_.load(std::memory_order_acquire);) patience.wait();
        is_helping_.store(false, std::memory_order_release);
    }

    static constexpr uint64_t PLACE = uint64_t{1} << 32;
    static constexpr int MOST_LOOKS = 4000;  // for the next call before a thread sleeps: about 100 microseconds

    void recruit(unsigned n_wanted) {
        if (process_ != getpid()) process_ = getpid(), n_threads_ = 0, n_asleep_ = 0;  // threads do not survive a fork
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
            if (!take_place()) continue;
            body_(data_);
            places_.fetch_sub(1, std::memory_order_release);
        }
    }

    uint32_t wait_for_call(uint32_t last_call) {
        uint32_t call;
        for (int look = 0; look < MOST_LOOKS; look++) {
            if ((call = call_.load(std::memory_order_acquire)) != last_call) return call;
            __builtin_ia32_pause();
        }
        n_asleep_.fetch_add(1, std::memory_order_seq_cst);
        while ((call = call_.load(std::memory_order_seq_cst)) == last_call)
            syscall(SYS_futex, &call_, FUTEX_WAIT_PRIVATE, last_call, nullptr, nullptr, 0);
        n_asleep_.fetch_sub(1, std::memory_order_seq_cst);
        return call;
    }

    // Makes a free place a taken one.
    bool take_place() {
        uint64_t places = places_.load(std::memory_order_acquire);
        while (places >= PLACE)
            if (places_.compare_exchange_weak(places, places - PLACE + 1, std::memory_order_acq_rel)) return true;
        return false;
    }

    std::atomic<bool> is_helping_{false};
    alignas(64) std::atomic<uint64_t> places_{0};  // taken ones, and PLACE for each that is free
    alignas(64) std::atomic<uint32_t> call_{0};
    std::atomic<int> n_asleep_{0};
    void (*body_)(void*) = nullptr;
    void* data_ = nullptr;
    unsigned n_threads_ = 0;
    pid_t process_ = 0;
};

}  // namespace IFW_LEVEL
