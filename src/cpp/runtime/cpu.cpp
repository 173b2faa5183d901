#include "runtime/cpu.h"

#include <cstdint>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pyseq {

// The builtins read CPUID and XCR0: a feature whose registers the system does not save counts as absent.
#if defined(__x86_64__)
bool cpu_has_avx2() noexcept {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}
bool cpu_has_avx512() noexcept {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
bool cpu_has_avx512_bf16() noexcept { return cpu_has_avx512() && __builtin_cpu_supports("avx512bf16"); }

#if defined(__linux__)
// Tile registers are 8 KB of state, which Linux saves for processes that have asked for it (since version 5.16). Threads
// have a process's permission, those that start later as well.
bool cpu_has_amx() noexcept {
  static const bool granted = [] {
    constexpr unsigned bfloat16 = 1u << 22, tiles = 1u << 24;               // CPUID leaf 7, EDX
    constexpr uint64_t saved = 1u << 17 | 1u << 18;                         // XCR0: configuration, data
    constexpr long request = 0x1023, tile_data = 18;                        // ARCH_REQ_XCOMP_PERM
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!cpu_has_avx512_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((d & (bfloat16 | tiles)) != (bfloat16 | tiles)) return false;
    uint32_t low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & saved) == saved && syscall(SYS_arch_prctl, request, tile_data) == 0;
  }();
  return granted;
}
#else
bool cpu_has_amx() noexcept { return false; }
#endif
#else
bool cpu_has_amx() noexcept { return false; }
bool cpu_has_avx2() noexcept { return false; }
bool cpu_has_avx512() noexcept { return false; }
bool cpu_has_avx512_bf16() noexcept { return false; }
#endif

}  // namespace pyseq
