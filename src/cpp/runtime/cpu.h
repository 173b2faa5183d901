// What this CPU and operating system can run.
#pragma once

namespace pyseq {

bool cpu_has_avx2() noexcept;    // x86-64-v3: AVX2, FMA, BMI, F16C; registers saved by the system
bool cpu_has_avx512() noexcept;  // x86-64-v4: AVX-512 F, BW, CD, DQ, VL; registers saved by the system
bool cpu_has_avx512_bf16() noexcept;  // the above and dot products of bfloat16 pairs
bool cpu_has_amx() noexcept;  // the above and tile registers; asks the system for them, for the whole process

}  // namespace pyseq
