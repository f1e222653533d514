// Drives `crew.h` alone: each check is a function, and the program runs the one that its argument names. A check that needs
// threads to meet waits for them, and gives up after ten seconds.
#define IFW_LEVEL check
#include "crew.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

using check::Crew;
using namespace std::chrono_literals;

[[noreturn]] static void fail(const char* what) {
    fprintf(stderr, "%s\n", what);
    _exit(1);
}

static void share(unsigned n_threads, const std::function<void()>& body) {
    Crew::share([](void* data) { (*static_cast<const std::function<void()>*>(data))(); }, const_cast<std::function<void()>*>(&body),
                n_threads);
}

// Threads of one call, each of which waits until so many are there.
class Meeting {
public:
    explicit Meeting(size_t n_threads) : n_threads_(n_threads) {}
    void attend() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            present_.insert(std::this_thread::get_id());
        }
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (n_present() < n_threads_) {
            if (std::chrono::steady_clock::now() > deadline) fail("the threads of a call did not meet");
            std::this_thread::yield();
        }
    }
    size_t n_present() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return present_.size();
    }
    bool has(std::thread::id thread) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return present_.count(thread);
    }

private:
    const size_t n_threads_;
    std::mutex mutex_;
    std::set<std::thread::id> present_;
};

// A thread that lends a hand while it is asked to.
class Lender {
public:
    explicit Lender(bool is_asked = true) : is_asked_(is_asked), thread_([this] { live(); }) {
        if (is_asked) wait_until_there();
    }
    ~Lender() {
        is_over_ = true, is_asked_ = false;
        thread_.join();
    }
    void ask() {
        is_asked_ = true;
        wait_until_there();
    }
    void let_go() {
        is_asked_ = false;
        while (is_there_) {
        }
    }
    std::thread::id id() const { return thread_.get_id(); }

private:
    void live() {
        while (!is_over_) {
            if (!is_asked_) continue;
            const Crew::Volunteer volunteer;
            is_there_ = true;
            while (is_asked_) Crew::lend_a_hand();
            is_there_ = false;
        }
    }
    void wait_until_there() {
        while (!is_there_) {
        }
    }

    std::atomic<bool> is_asked_, is_there_{false}, is_over_{false};
    std::thread thread_;
};

static void helpers_come() {
    Meeting meeting(3);
    share(3, [&] { meeting.attend(); });
}

static void volunteers_come_in_place_of_helpers() {
    Lender first, second;
    for (int i = 0; i < 100; i++) {
        Meeting meeting(3);
        const bool is_asked = check::Rest::is_over();  // on a busy machine it may not be
        share(3, [&] { meeting.attend(); });
        if (!is_asked) continue;
        if (!meeting.has(first.id()) || !meeting.has(second.id())) fail("somebody else took the place of a volunteer");
    }
}

static void helpers_come_where_volunteers_are_too_few() {
    Lender lender(false);
    for (int i = 0; i < 300; i++) {
        Meeting all_awake(4);
        share(4, [&] { all_awake.attend(); });
        lender.ask();
        Meeting meeting(3);
        const bool is_asked = check::Rest::is_over();
        share(3, [&] { meeting.attend(); });
        if (is_asked && !meeting.has(lender.id())) fail("a helper took the place of the volunteer");
        lender.let_go();
    }
}

static void helpers_come_when_volunteers_have_left() {
    { Lender lender; }
    Meeting meeting(2);
    share(2, [&] { meeting.attend(); });
}

// A volunteer that is busy elsewhere holds nobody up.
static void nobody_waits_for_who_has_not_begun() {
    const Crew::Volunteer volunteer;  // this thread is one, and lends no hand
    std::atomic<int> n_runs{0};
    share(2, [&] { n_runs++; });
    if (n_runs != 1) fail("somebody took the place of a volunteer");
}

static void whoever_began_is_waited_for() {
    Lender lender;
    for (int i = 0; i < 200; i++) {
        Meeting meeting(2);
        std::atomic<bool> is_done{false};
        share(2, [&] {
            meeting.attend();
            if (std::this_thread::get_id() != lender.id()) return;
            std::this_thread::sleep_for(1ms);
            is_done = true;
        });
        if (meeting.has(lender.id()) && !is_done) fail("the call was over before a volunteer was done");
    }
}

static void volunteers_rest_after_somebody_has_waited_long() {
    Lender lender;
    const auto comes = [&](std::chrono::milliseconds late) {
        Meeting meeting(2);
        share(2, [&] {
            meeting.attend();
            if (std::this_thread::get_id() == lender.id()) std::this_thread::sleep_for(late);
        });
        return meeting.has(lender.id());
    };
    if (!comes(30ms)) fail("a helper came in place of a volunteer that was never late");
    const auto begin = std::chrono::steady_clock::now();
    if (comes(0ms) && std::chrono::steady_clock::now() - begin < 50ms) fail("a volunteer that was late came again at once");
    std::this_thread::sleep_for(200ms);
    if (!comes(0ms)) fail("a volunteer that has rested was not asked");
}

static void calls_of_several_threads_share_the_volunteers() {
    Lender first, second;
    std::atomic<long> n_runs{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; caller++)
        callers.emplace_back([&] {
            for (int i = 0; i < 20000; i++) {
                std::atomic<int> item{0}, n_done{0};
                share(3, [&] {
                    while (item++ < 5) n_done++;
                });
                if (n_done != 5) fail("an item was left out, or done twice");
                n_runs++;
            }
        });
    for (auto& caller : callers) caller.join();
    if (n_runs != 80000) fail("a call was lost");
}

static void a_child_process_has_helpers_but_no_volunteers() {
    helpers_come();
    Lender first, second;
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) helpers_come();
        _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    if (status) fail("nobody came in a child process");
}

int main(int, char** arguments) {
    const struct {
        const char* name;
        void (*run)();
    } checks[] = {
#define CHECK(name) {#name, name}
        CHECK(helpers_come),
        CHECK(volunteers_come_in_place_of_helpers),
        CHECK(helpers_come_where_volunteers_are_too_few),
        CHECK(helpers_come_when_volunteers_have_left),
        CHECK(nobody_waits_for_who_has_not_begun),
        CHECK(whoever_began_is_waited_for),
        CHECK(volunteers_rest_after_somebody_has_waited_long),
        CHECK(calls_of_several_threads_share_the_volunteers),
        CHECK(a_child_process_has_helpers_but_no_volunteers),
    };
    for (const auto& check : checks)
        if (!strcmp(check.name, arguments[1])) return check.run(), 0;
    fail("there is no such check");
}
