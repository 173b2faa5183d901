// Index arithmetic of the time loop: which sequences run at each step, and where their slots lie.
//
// Sequences are sorted by length, longest first (ties by index), so those still running at step s are the first
// active[s]; frames are numbered step by step. Steps are grouped in chunks whose slots stay in the L2 cache
// between the products over many frames and the recurrence. Within a chunk the slots lie
// [block][frame][slot][lane]: at once the order of the forward tile's stores, the scalars of dh and dx, and the
// vectors of dW. All of it depends on the sizes alone, so results depend on no thread count.
#pragma once

#include "rnn/cell.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int64_t kChunkBytes = 512 << 10;   // slots of a chunk: half of a small L2
constexpr int64_t kMostChunkFrames = 512;
// Fewer frames, and the sums of dW are loaded and stored too often: 64 made backward at 512 units 40 % slower.
constexpr int64_t kFewestChunkFrames = 256;
// Weights up to this are read whole in every step of a register tile of rows or more: from L3 they come as fast as such
// tiles need them, and the sums of x need not be written and read again (at 256 units 3 to 9 % of a forward pass).
constexpr int64_t kFusedBytes = 4 << 20;
constexpr int64_t kTiledFusedBytes = 768 << 10;  // tile registers multiply too fast for that
constexpr int64_t kSingleFusedBytes = 40 << 10;  // a single row: in L1, x's product fills the gaps of the chain of h

// Of a normalised cell, whose product of x is never part of a step: frames enough to fill tiles, whose sums L2 still holds
// when a step reads them. With a whole chunk a forward pass at 256 units took 10 % longer.
constexpr int64_t kAheadFrames = 64;

// Longest first; equal lengths by index: a total order, so any correct sort gives the same.
PYSEQ_INLINE bool runs_longer(const int64_t* lengths, int64_t a, int64_t b) {
  return lengths[a] != lengths[b] ? lengths[a] > lengths[b] : a < b;
}
void sift_down(const int64_t* lengths, int64_t* order, int64_t root, int64_t n) {
  for (int64_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && runs_longer(lengths, order[child], order[child + 1])) child++;
    if (!runs_longer(lengths, order[root], order[child])) return;
    const int64_t t = order[root];
    order[root] = order[child];
    order[child] = t;
  }
}
void sort_by_length(const int64_t* lengths, int64_t* order, int64_t n) {
  bool sorted = true;
  for (int64_t b = 0; b < n; b++) {
    order[b] = b;
    sorted = sorted && (b == 0 || lengths[b - 1] >= lengths[b]);
  }
  if (sorted) return;
  for (int64_t r = n / 2; r-- > 0;) sift_down(lengths, order, r, n);
  for (int64_t end = n; end-- > 1;) {
    const int64_t t = order[0];
    order[0] = order[end];
    order[end] = t;
    sift_down(lengths, order, 0, end);
  }
}

// Where a chunk's slots lie: `base` frames' worth of slots before it, `stride` frames from block to block.
struct Chunk {
  int64_t first_step, end_step, frames, base, stride;
};

// Sizes for a cell of S slots in blocks of Q vectors of R. `padded` units fill whole blocks; h_padded: likewise
// for the numbers of h, which are `output`.
struct Shape {
  int64_t batch, input, hidden, output, blocks, padded, h_padded, steps, frames, chunk_steps, chunks, chunk_frames, frame_size;
  int64_t input_steps;  // of a chunk, whose product of x runs ahead at once
  bool reverse;
};
template <class C, class R>
Shape shape_of(const RnnProblem& p, int q) {
  Shape s;
  s.batch = p.batch;
  s.input = p.input;
  s.hidden = p.hidden;
  s.output = p.output;
  s.reverse = p.reverse;
  s.blocks = ceil_div(p.hidden, q * kLanes<R>);
  s.padded = s.blocks * q * kLanes<R>;
  s.h_padded = C::scheme == Scheme::kProjected ? round_up(p.output, kLanes<R>) : s.padded;
  s.frame_size = C::slots * kLanes<R>;
  s.steps = s.frames = 0;
  for (int64_t b = 0; b < p.batch; b++) {
    s.steps = max_of(s.steps, p.lengths[b]);
    s.frames += p.lengths[b];
  }
  constexpr int64_t parts = C::Operand::parts * (C::scheme == Scheme::kNormalised ? 2 : 1);  // the wider, the fewer frames
  const int64_t fit = kChunkBytes / (s.blocks * s.frame_size * static_cast<int64_t>(sizeof(R)) * C::Operand::parts);
  const int64_t wanted = max_of(kFewestChunkFrames / parts, min_of(kMostChunkFrames / parts, fit));
  s.chunk_steps = max_of<int64_t>(1, wanted / max_of<int64_t>(1, p.batch));
  if (C::Operand::tiled) s.chunk_steps = round_up(s.chunk_steps, 2);  // they go in pairs
  s.input_steps = s.chunk_steps;
  if (C::scheme == Scheme::kNormalised) s.input_steps = max_of<int64_t>(1, kAheadFrames / max_of<int64_t>(1, p.batch));
  s.chunks = ceil_div(s.steps, s.chunk_steps);
  s.chunk_frames = min_of(s.chunk_steps, s.steps) * p.batch;
  return s;
}
// Blocks an even number of frames apart can meet in the same cache sets; an odd number spreads them.
PYSEQ_INLINE int64_t block_stride(int64_t frames) { return frames | 1; }

struct Plan {
  Shape shape;
  int64_t* order;   // [batch] sorted position -> sequence
  int64_t* active;  // [steps]
  int64_t* offset;  // [steps + 1] frames before each step
  Chunk* chunks;

  Plan(const Shape& s, Arena& arena) : shape(s) {
    order = arena.take<int64_t>(s.batch);
    active = arena.take<int64_t>(s.steps);
    offset = arena.take<int64_t>(s.steps + 1);
    chunks = arena.take<Chunk>(s.chunks);
  }
  void fill(const int64_t* lengths) {
    sort_by_length(lengths, order, shape.batch);
    int64_t n = shape.batch;
    offset[0] = 0;
    for (int64_t s = 0; s < shape.steps; s++) {
      while (n > 0 && lengths[order[n - 1]] <= s) n--;
      active[s] = n;
      offset[s + 1] = offset[s] + n;
    }
    int64_t base = 0;
    for (int64_t c = 0; c < shape.chunks; c++) {
      const int64_t first = c * shape.chunk_steps, end = min_of(first + shape.chunk_steps, shape.steps);
      const int64_t frames = offset[end] - offset[first];
      chunks[c] = {first, end, frames, base, block_stride(frames)};
      base += chunks[c].stride;
    }
  }
};

// Numbers of all slots, or of one chunk's.
PYSEQ_INLINE int64_t slots_size(const Shape& s) { return (s.frames + s.chunks) * s.blocks * s.frame_size; }
PYSEQ_INLINE int64_t chunk_slots_size(const Shape& s) { return block_stride(s.chunk_frames) * s.blocks * s.frame_size; }

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
