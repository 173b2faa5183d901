// Large buffers that live as long as a Python object does, and are used again afterwards.
//
// A training step's tape is megabytes that come and go with every batch. Given back to the system each time, their
// pages cost a fault each on the way back (15 % of an epoch of a small model); kept here, they cost nothing. What nobody
// has wanted for a while goes back to the system, looked for whenever a buffer is given back; the rest by release().
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "bindings/arrays.h"

namespace pyseq {

class BufferPool {
 public:
  struct Buffer {
    void* memory;
    std::size_t bytes;
  };

  static constexpr std::size_t kSmallest = 64 << 10;    // below, malloc keeps the pages by itself
  static constexpr std::size_t kHugePage = 2 << 20;

  // A few batches of a large model: 256 MB, or a sixteenth of the machine's memory where that is more. New pages of a
  // large buffer can cost more than the kernel that fills them.
  static std::size_t most_kept() {
    static const std::size_t bytes = [] {
      const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
      const std::size_t least = std::size_t{256} << 20;
      if (pages <= 0 || page <= 0) return least;
      return std::max(least, static_cast<std::size_t>(pages) / 16 * static_cast<std::size_t>(page));
    }();
    return bytes;
  }

  static BufferPool& instance() {
    static BufferPool* pool = new BufferPool;  // never destroyed: arrays may outlive static objects
    return *pool;
  }

  // At least `bytes`, aligned; contents irrelevant. The smallest that fits and is not twice too large, or new.
  Buffer take(std::size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::size_t best = free_.size();
      for (std::size_t i = 0; i < free_.size(); i++)
        if (size_of(i) >= bytes && size_of(i) / 2 <= bytes && (best == free_.size() || size_of(i) < size_of(best))) best = i;
      if (best < free_.size()) {
        return remove(best);
      }
    }
    const std::size_t unit = grain(bytes);
    const std::size_t size = (bytes + unit - 1) / unit * unit + (bytes == 0 ? unit : 0);
    if (size < bytes) throw std::bad_alloc();
    // std::aligned_alloc would want a size that is a multiple of the alignment.
    void* memory = nullptr;
    const std::size_t alignment = size >= kHugePage ? kHugePage : static_cast<std::size_t>(kAlignment);
    if (posix_memalign(&memory, alignment, size) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (size >= kHugePage) madvise(memory, size, MADV_HUGEPAGE);
#endif
    return {memory, size};
  }

  void give(Buffer buffer) noexcept {
    if (buffer.bytes < kSmallest) return std::free(buffer.memory);
    const Clock::time_point now = Clock::now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (kept_ + buffer.bytes <= most_kept() && free_.size() < kMostBuffers) {
        free_.push_back({buffer, now});  // capacity is reserved
        kept_ += buffer.bytes;
        buffer.memory = nullptr;
      }
    }
    std::free(buffer.memory);
    if (now.time_since_epoch().count() >= __atomic_load_n(&look_again_, __ATOMIC_RELAXED)) {
      __atomic_store_n(&look_again_, (now + kIdle / 4).time_since_epoch().count(), __ATOMIC_RELAXED);
      release(now - kIdle);
    }
  }

  // Gives back to the system what has not been wanted since then; its bytes.
  std::size_t release(std::chrono::steady_clock::time_point since = std::chrono::steady_clock::time_point::max()) noexcept {
    std::array<void*, kMostBuffers> old;
    std::size_t count = 0, bytes = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (std::size_t i = free_.size(); i-- > 0;)
        if (free_[i].since <= since) {
          const Buffer found = remove(i);
          bytes += found.bytes;
          old[count++] = found.memory;
        }
    }
    for (std::size_t i = 0; i < count; i++) std::free(old[i]);
    return bytes;
  }

  // Bytes that wait for being wanted again.
  std::size_t kept() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_;
  }

 private:
  // Sizes are rounded up by at most an eighth: batches differ a little.
  static std::size_t grain(std::size_t bytes) {
    std::size_t unit = static_cast<std::size_t>(kAlignment);
    while (unit <= bytes / 16) unit *= 2;
    return unit;
  }
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMostBuffers = 64;
  static constexpr Clock::duration kIdle = std::chrono::seconds(10);  // many batches; an epoch that is longer pays once
  struct Kept {
    Buffer buffer;
    Clock::time_point since;
  };

  BufferPool() { free_.reserve(kMostBuffers); }
  std::size_t size_of(std::size_t i) const { return free_[i].buffer.bytes; }
  Buffer remove(std::size_t i) {
    const Buffer found = free_[i].buffer;
    free_[i] = free_.back();
    free_.pop_back();
    kept_ -= found.bytes;
    return found;
  }
  std::mutex mutex_;
  std::vector<Kept> free_;
  std::size_t kept_ = 0;
  Clock::rep look_again_ = 0;
};

// An aligned array of `shape` whose memory returns to the pool when nothing refers to it; contents irrelevant.
template <class R>
py::array_t<R> from_pool(Extents shape, std::size_t bytes) {
  auto* buffer = new BufferPool::Buffer(BufferPool::instance().take(bytes));
  const py::capsule owner(buffer, [](void* p) {
    auto* b = static_cast<BufferPool::Buffer*>(p);
    BufferPool::instance().give(*b);
    delete b;
  });
  return py::array_t<R>(shape, static_cast<const R*>(buffer->memory), owner);
}

// An array for an output. What is small is left to NumPy, which keeps such memory by itself; what would not be kept
// here too, for NumPy asks for huge pages.
template <class R>
py::array_t<R> empty_array(Extents shape) {
  std::size_t bytes = sizeof(R);
  for (const py::ssize_t n : shape) bytes *= static_cast<std::size_t>(n);
  const bool from_numpy = bytes < BufferPool::kSmallest || bytes > BufferPool::most_kept();
  return from_numpy ? new_array<R>(shape) : from_pool<R>(shape, bytes);
}

}  // namespace pyseq
