#include "runtime/cores.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <sched.h>
#include <time.h>
#endif

namespace pyseq {

int cores_of_quota(const char* words) noexcept {
  char* rest = nullptr;
  const long long quota = std::strtoll(words, &rest, 10);  // "max": 0
  const long long period = std::strtoll(rest, nullptr, 10);
  if (quota <= 0 || period <= 0) return 0;
  const long long cores = quota / period + (quota % period != 0);
  return cores < INT32_MAX ? static_cast<int>(cores) : 0;
}

#ifdef __linux__

namespace {

constexpr int64_t kLookAgain = 100'000'000;  // nanoseconds
constexpr std::size_t kPathRoom = 512;

bool read_line(const char* path, char* line, int room) noexcept {
  std::FILE* file = std::fopen(path, "re");
  if (!file) return false;
  const bool read = std::fgets(line, room, file) != nullptr;
  std::fclose(file);
  return read;
}

// The path of this process in the hierarchy of cgroup v2, "" if there is none.
void own_group(char (&path)[kPathRoom]) noexcept {
  path[0] = 0;
  std::FILE* file = std::fopen("/proc/self/cgroup", "re");
  if (!file) return;
  for (char line[kPathRoom]; std::fgets(line, sizeof line, file);)
    if (std::strncmp(line, "0::", 3) == 0) {
      line[std::strcspn(line, "\n")] = 0;
      std::strcpy(path, line + 3);
    }
  std::fclose(file);
}

// The tightest quota of this process's group and of those above it. In a container the root is the container's own.
int quota_cores() noexcept {
  char group[kPathRoom], path[kPathRoom + 64], line[64];
  own_group(group);
  int fewest = 0;
  while (true) {
    std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", std::strcmp(group, "/") == 0 ? "" : group);
    if (read_line(path, line, sizeof line)) {
      const int cores = cores_of_quota(line);
      if (cores > 0 && (fewest == 0 || cores < fewest)) fewest = cores;
    }
    char* last = std::strrchr(group, '/');
    if (!last) return fewest;
    *last = 0;
  }
}

int affinity_cores() noexcept {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 0;  // fails beyond 1024 processors
}

}  // namespace

int cores_allowed() noexcept {
  static thread_local int64_t again = 0;
  static thread_local int cores = 0;
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  const int64_t now = int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  if (now < again) return cores;
  static const int quota = quota_cores();
  const int here = affinity_cores();
  cores = quota > 0 && (here == 0 || quota < here) ? quota : here;
  again = now + kLookAgain;
  return cores;
}

#else

int cores_allowed() noexcept { return 0; }

#endif

}  // namespace pyseq
