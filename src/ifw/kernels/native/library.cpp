// Which sets of kernels the library has and this machine can run.
#include <cpuid.h>

#include "interface.h"

namespace {

struct Features {
    bool avx2 = false, avx_vnni = false, avx512_vnni = false, avx512_bf16 = false;

    Features() {
        unsigned a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return;  // the system saves vectors
        const bool has_fma = c >> 12 & 1;
        unsigned low, high;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        if ((low & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        avx2 = has_fma && (b >> 5 & 1);
        const bool has_avx512 = (low & 0xe0) == 0xe0 && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
        avx512_vnni = avx2 && has_avx512 && (c >> 11 & 1);
        if (a < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return;
        avx_vnni = avx2 && (a >> 4 & 1);
        avx512_bf16 = avx512_vnni && (a >> 5 & 1);
    }
};

}  // namespace

extern "C" {
#ifdef IFW_HAS_AVX512_BF16
extern const IfwKernels ifw_kernels_avx512_bf16;
#endif
#ifdef IFW_HAS_AVX512_VNNI
extern const IfwKernels ifw_kernels_avx512_vnni;
#endif
#ifdef IFW_HAS_AVX2_VNNI
extern const IfwKernels ifw_kernels_avx2_vnni;
#endif
#ifdef IFW_HAS_AVX2
extern const IfwKernels ifw_kernels_avx2;
#endif

const IfwKernels* ifw_kernels(int32_t index) {
    static const Features has;
#ifdef IFW_HAS_AVX512_BF16
    if (has.avx512_bf16 && index-- == 0) return &ifw_kernels_avx512_bf16;
#endif
#ifdef IFW_HAS_AVX512_VNNI
    if (has.avx512_vnni && index-- == 0) return &ifw_kernels_avx512_vnni;
#endif
#ifdef IFW_HAS_AVX2_VNNI
    if (has.avx_vnni && index-- == 0) return &ifw_kernels_avx2_vnni;
#endif
#ifdef IFW_HAS_AVX2
    if (has.avx2 && index-- == 0) return &ifw_kernels_avx2;
#endif
    return nullptr;
}

const char* ifw_kernels_source(void) { return IFW_SOURCE; }
}
