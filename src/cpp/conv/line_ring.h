// A window of frames that moves on, as lines in a ring: each is made once, whatever the number of taps that read it.
#pragma once

#include "gemm/tiled.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Frame t is at line at(t). The lines of the first 32 frames are repeated behind the last, so that a tile may begin at any
// of them.
struct LineRing {
  int64_t frames;       // a multiple of 32
  int64_t line_frames;  // frames from line to line: 1 or 2
  int64_t at(int64_t t) const {
    const int64_t m = t % frames;
    return (m < 0 ? m + frames : m) / line_frames;
  }
  int64_t lines() const { return frames / line_frames; }
  int64_t repeated() const { return kTileDepth / line_frames; }
  int64_t room() const { return lines() + repeated(); }
  // Where line `at` lies once more; itself if it does not.
  int64_t again(int64_t at) const { return at < repeated() ? at + lines() : at; }
  // f(depth tile, tiles, line) over tiles [first, end) of a window that starts at frame t, as they follow each other.
  template <class F>
  PYSEQ_INLINE void each_run(int64_t t, int64_t first, int64_t end, const F& f) const {
    for (int64_t k = first; k < end;) {
      const int64_t line = at(t + k * kTileDepth), run = min_of(end - k, ceil_div(lines() - line, repeated()));
      f(k, run, line);
      k += run;
    }
  }
};

// One for what all taps reach from `block` frames on: of the longest sequence, with zeros before and behind, at most.
template <class R>
LineRing ring_for(const Conv1d<R>& c, int64_t block, int64_t line_frames) {
  int64_t longest = 0;
  for (int64_t b = 0; b < c.batch; b++) longest = max_of(longest, c.lengths[b]);
  const int64_t reach = (c.kernel_size - 1) * c.dilation;
  return {round_up(min_of(reach + block, longest + 3 * kTileDepth), kTileDepth), line_frames};
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
