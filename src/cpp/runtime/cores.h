// Cores that this process may use.
#pragma once

namespace pyseq {

// Cores that the calling thread may run on, and no more than a container's quota of processor time is worth, rounded up;
// 0 where the system does not tell. Looked up again after a tenth of a second; in between it costs a few nanoseconds.
int cores_allowed() noexcept;

// Processors that a quota in the words of cgroup v2's cpu.max is worth ("150000 100000": 1.5, so 2); 0: no limit.
int cores_of_quota(const char* words) noexcept;

}  // namespace pyseq
