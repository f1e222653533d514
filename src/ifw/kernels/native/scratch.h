// Memory of a thread that is kept from call to call: allocated when a call needs more than any before.
#pragma once
#include <stdint.h>
#include <stdlib.h>

namespace IFW_LEVEL {

class Scratch {
public:
    ~Scratch() { free(memory_); }

    // 64-byte aligned room for n values; what it held is lost.
    template <class T>
    T* get(int64_t n) {
        const size_t bytes = (static_cast<size_t>(n) * sizeof(T) + 127) / 64 * 64;
        if (bytes > bytes_) {
            free(memory_);
            memory_ = aligned_alloc(64, bytes);
            if (memory_ == nullptr) abort();  // as every other program of this platform that runs out of memory
            bytes_ = bytes;
        }
        return static_cast<T*>(memory_);
    }

private:
    void* memory_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace IFW_LEVEL
