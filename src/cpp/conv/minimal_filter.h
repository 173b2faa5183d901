// The product of conv/correlate.h with two frames at a time (conv/filter_plan.h), for frames all of whose taps are inside
// their sequence:
//
//   z[p]     = ((m + n) + bias) + first       m, n: sums over all groups of taps and inputs; first and second: over these
//   z[p + d] = ((m - n) + bias) + second      and over taps that are in no group. Each goes on from what stands before it.
//
// p counts in blocks of d frames from the first frame inside, every other block; where the sequence ends in the middle,
// z[p] is made alone, of the same sums. Other frames, at the ends of a sequence, go the way of conv/correlate.h.
//
// Sums of rows are made for some tiles of frames at a time and stay near. (Made for each product of a tile just before it,
// the whole took 2 to 9 % longer.)
#pragma once

#include "conv/correlate.h"
#include "conv/filter_plan.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// The frames of a sequence that minimal filtering makes: [first, first + 2 * pairs + singles), in blocks of d.
struct InsideFrames {
  int64_t first, pairs, singles, dilation, first_single;

  InsideFrames(int64_t taps, int64_t d, int64_t left, int64_t length) : dilation(d) {
    const int64_t count = max_of<int64_t>(0, length - (taps - 1) * d), over = count % (2 * d);
    const int64_t halves = max_of<int64_t>(0, over - d);  // pairs of the last block
    first = count ? left : length;
    pairs = count / (2 * d) * d + halves;
    singles = count - 2 * pairs;
    first_single = first + count - over + halves;
  }
  int64_t end() const { return first + 2 * pairs + singles; }
  int64_t frame(int64_t pair) const { return first + pair / dilation * 2 * dilation + pair % dilation; }
};

template <class R>
class MinimalFilter {
 public:
  MinimalFilter(const FilterPlan& plan, int64_t inputs, int64_t outputs, int threads, Arena& arena)
      : plan_(plan), inputs_(inputs), outputs_(outputs) {
    if (plan.direct()) return;
    m_ = product(plan.groups, arena);
    n_ = product(plan.groups, arena);
    first_ = product(plan.groups + plan.others, arena);
    second_ = product(plan.groups + plan.others, arena);
    const int64_t fit = kRowsInCache / (4 * group_width() * static_cast<int64_t>(sizeof(R))) / tile() * tile();
    pairs_ = max_of<int64_t>(tile(), min_of(kRowChunk / tile() * tile(), fit));
    room_size_ = round_up(4 * part_size() + kAccumulators * W, kAlignment);
    rooms_ = arena.take<R>(room_size_ * threads);
  }

  bool used() const { return !plan_.direct(); }

  // A thread's part of the weights: lines of inputs [first, last), made of those of the correlation, `direct`. Those of a product
  // lie one after the other, so that a tile goes through them in one run.
  void pack(const R* direct, int64_t first, int64_t last) const {
    for (int64_t c0 = 0; c0 < outputs_; c0 += kPanelVectors * W) {
      const int64_t wide = min_of<int64_t>(kPanelVectors * W, round_up(outputs_ - c0, W)), tap_size = inputs_ * wide;
      const auto line = [&](const Product& p, int64_t part) { return p.weight + p.lines * c0 + part * tap_size; };
      for (int64_t i = first * wide; i < last * wide; i += W) {
        const R* tap = direct + (3 * plan_.groups + plan_.others) * inputs_ * c0 + i;
        for (int64_t g = 0; g < plan_.groups; g++, tap += 3 * tap_size) {
          const FilterParts<Vec<R>> parts(load(tap), load(tap + tap_size), load(tap + 2 * tap_size));
          store(line(m_, g) + i, parts.m);
          store(line(n_, g) + i, parts.n);
          store(line(first_, g) + i, parts.first);
          store(line(second_, g) + i, parts.second);
        }
        for (int64_t o = 0; o < plan_.others; o++, tap += tap_size) {
          store(line(first_, plan_.groups + o) + i, load(tap));
          store(line(second_, plan_.groups + o) + i, load(tap));
        }
      }
    }
  }

  // As `correlate`, by another order of frames: a part of [row0, row1) are the same frames for any number of threads.
  void correlate(const Correlation<R, Numbers>& c, int64_t row0, int64_t row1, int thread, R* scratch) const {
    int64_t start = 0;
    for (int64_t b = 0; b < c.batch && start < row1; start += c.lengths[b++]) {
      const InsideFrames in(c.taps, c.dilation, c.left, c.lengths[b]);
      const int64_t stop = min_of(c.lengths[b], row1 - start);
      int64_t t = max_of<int64_t>(0, row0 - start);
      if (t < in.first) correlate_span(c, b, t, min_of(in.first, stop), scratch);
      // then pairs, each where its first place falls, then frames alone
      t = max_of(t, in.first);
      const int64_t paired = in.first + 2 * in.pairs;
      const auto pair_from = [&](int64_t place) { return (min_of(place, paired) - in.first + 1) / 2; };
      if (t < min_of(stop, paired)) each_chunk(pair_from(t), pair_from(stop), [&](int64_t first, int64_t count) {
        filter_frames<true>(c, b, first, count, in, thread, scratch);
      });
      t = max_of(t, paired);
      if (t < min_of(stop, in.end())) each_chunk(t - paired, min_of(stop, in.end()) - paired, [&](int64_t first, int64_t count) {
        filter_frames<false>(c, b, first, count, in, thread, scratch);
      });
      t = max_of(t, in.end());
      if (t < stop) correlate_span(c, b, t, stop, scratch);
    }
  }

 private:
  static constexpr int W = kLanes<R>;
  static constexpr int64_t kRowsInCache = 24 << 10;  // bytes of L1
  struct Product {
    int64_t lines;
    R* weight;  // in panels
  };
  Product product(int64_t parts, Arena& arena) const {
    return {parts * inputs_, arena.take<R>(panels_size<R>(parts * inputs_, outputs_))};
  }
  int tile() const { return correlated_rows(static_cast<int>(min_of<int64_t>(kPanelVectors, ceil_div(outputs_, W)))); }

  // f(first, count): nearly equal tiles, as many at once as the rows to multiply have room for.
  template <class F>
  void each_chunk(int64_t first, int64_t last, const F& f) const {
    const int64_t n = last - first, tiles = ceil_div(n, tile()), at_once = pairs_ / tile();
    for (int64_t q = 0; q < tiles; q += at_once) {
      const int64_t from = piece_start(n, tiles, q), to = piece_start(n, tiles, min_of(q + at_once, tiles));
      f(first + from, to - from);
    }
  }

  int64_t group_width() const { return plan_.groups * inputs_; }
  int64_t part_size() const { return pairs_ * group_width() + W; }

  // Sums of rows for one of the products: groups side by side, pairs one after the other. They are stored in whole vectors,
  // from the first to the last: what is too much is overwritten by the next, or lies between.
  struct Rows {
    R *m, *n, *first, *second;
  };
  // x: the row under a pair's oldest tap, rows of neighbouring taps are `next` apart. Without its second frame, nothing is
  // read beyond the taps of the first.
  template <bool Second>
  PYSEQ_INLINE void make_rows(const R* x, int64_t next, const Rows& rows, int64_t pair) const {
    int64_t at = pair * group_width();
    for (int64_t g = 0; g < plan_.groups; g++, x += 3 * next, at += inputs_) {
      const auto make = [&](int64_t i, const auto& get) {
        const Vec<R> x0 = get(x + i), x1 = get(x + next + i), x2 = get(x + 2 * next + i);
        store(rows.m + at + i, x1 + x2);
        store(rows.n + at + i, x2 - x1);
        store(rows.first + at + i, x0 - x2);
        if (Second) store(rows.second + at + i, get(x + 3 * next + i) - x1);
      };
      int64_t i = 0;
      for (; i + W <= inputs_; i += W) make(i, [](const R* p) { return load(p); });
      const int left = static_cast<int>(inputs_ - i);
      if (left) make(i, [left](const R* p) { return load_n(p, left); });
    }
  }

  struct Chunk {
    const R* x[kRowChunk];  // under the oldest tap
    R* out[2 * kRowChunk];  // first frames, second ones
    int64_t frames[2 * kRowChunk];
    int64_t count, next;    // numbers between rows of neighbouring taps
    bool pairs;
    Rows rows;
    const R* bias;
    R* kept;  // sums of a tile
  };
  // A tile's sums go on over runs of lines: m, n, then for the first frames all groups and each other tap, then for the second.
  // What is done with them after each:
  enum class Then { kGoOn, kKeep, kSplit, kFirst, kSecond };
  struct Run {
    const R* rows;  // of sums, `group_width` apart; null: rows of x,
    int64_t away;   // so far from that under the oldest tap
    const Product* product;
    int64_t line, lines;  // the first of its lines, and how many
    Then then;
  };
  int64_t run_count(bool pairs) const { return 2 + (pairs ? 2 : 1) * (1 + plan_.others); }
  PYSEQ_INLINE Run run(const Chunk& c, int64_t q) const {
    if (q == 0) return {c.rows.m, 0, &m_, 0, group_width(), Then::kKeep};
    if (q == 1) return {c.rows.n, 0, &n_, 0, group_width(), Then::kSplit};
    const bool later = q - 2 > plan_.others;
    const int64_t part = q - 2 - (later ? 1 + plan_.others : 0);
    const Product* product = later ? &second_ : &first_;
    const Then then = part < plan_.others ? Then::kGoOn : later ? Then::kSecond : Then::kFirst;
    if (part == 0) return {later ? c.rows.second : c.rows.first, 0, product, 0, group_width(), then};
    return {nullptr, (3 * plan_.groups + part - 1 + later) * c.next, product, (plan_.groups + part - 1) * inputs_, inputs_, then};
  }

  template <int MR, int NV>
  PYSEQ_TILE void filter_tile(const Chunk& c, int64_t row, int64_t column) const {
    Vec<R> acc[MR][NV] = {};
    const auto each_sum = [&](const auto& f) {
      PYSEQ_UNROLL for (int i = 0; i < MR; i++)
        PYSEQ_UNROLL for (int j = 0; j < NV; j++) f(acc[i][j], c.kept + (i * NV + j) * W, j);
    };
    const auto bias = [&](int j) { return c.bias ? load(c.bias + column + j * W) : Vec<R>{}; };
    const auto write = [&](R* const* out) {
      const int64_t left = outputs_ - column - (NV - 1) * W;
      PYSEQ_UNROLL for (int i = 0; i < MR; i++) {
        PYSEQ_UNROLL for (int j = 0; j < NV - 1; j++) store(out[row + i] + column + j * W, acc[i][j]);
        store_up_to(out[row + i] + column + (NV - 1) * W, acc[i][NV - 1], left);
      }
    };
    for (int64_t q = 0, end = run_count(c.pairs); q < end; q++) {
      const Run now = run(c, q);
      const R* a[MR];
      PYSEQ_UNROLL for (int i = 0; i < MR; i++) a[i] = now.rows ? now.rows + (row + i) * group_width() : c.x[row + i] + now.away;
      const R* b = now.product->weight + now.product->lines * column + now.line * NV * W;
      multiply_add<R, MR, NV, NV, 0>(acc, now.lines, [&](int i, int64_t k) { return a[i][k]; }, b, NV * W);
      if (now.then == Then::kGoOn) continue;
      if (now.then == Then::kKeep) each_sum([](Vec<R>& sum, R* keep, int) { store(keep, sum), sum = Vec<R>{}; });
      else if (now.then == Then::kSplit) each_sum([&](Vec<R>& sum, R* keep, int j) {
        const Vec<R> m = load(keep), n = sum;
        sum = (m + n) + bias(j);
        store(keep, (m - n) + bias(j));
      });
      else if (now.then == Then::kSecond) write(c.out + c.count);
      else {
        write(c.out);
        each_sum([](Vec<R>& sum, R* keep, int) { sum = load(keep); });
      }
    }
  }

  // `count` pairs from one on, or frames alone.
  template <bool Pairs>
  void filter_frames(const Correlation<R, Numbers>& c, int64_t b, int64_t index, int64_t count, const InsideFrames& in,
                     int thread, R* scratch) const {
    R* room = rooms_ + thread * room_size_;
    Chunk chunk;
    chunk.count = count;
    chunk.next = c.dilation * c.in_stride;
    chunk.pairs = Pairs;
    chunk.rows = {room, room + part_size(), room + 2 * part_size(), room + 3 * part_size()};
    chunk.bias = c.bias;
    chunk.kept = room + 4 * part_size();
    // Rows that the next chunk reads under its newest taps are asked for tile by tile; the others are in the cache by then.
    const R* coming[kRowChunk];
    int64_t t = Pairs ? in.frame(index) : in.first_single + index, left = in.dilation - index % in.dilation;
    for (int64_t i = 0; i < 2 * count; i++) {
      const R* x = c.in + (c.in_start[b] + t - c.left) * c.in_stride;
      if (i < count) {
        chunk.x[i] = x;
        chunk.frames[i] = t;
        chunk.out[i] = c.finish.z_rows(b, t, scratch + i * outputs_);
        if (Pairs) {
          chunk.frames[count + i] = t + in.dilation;
          chunk.out[count + i] = c.finish.z_rows(b, t + in.dilation, scratch + (count + i) * outputs_);
        }
        make_rows<Pairs>(x, chunk.next, chunk.rows, i);
      } else {
        coming[i - count] = x + (c.taps - 1) * chunk.next;
      }
      t++;
      if (Pairs && --left == 0) {  // what follows are the other frames of these pairs
        t += in.dilation;
        left = in.dilation;
      }
    }
    for (int64_t column = 0; column < outputs_; column += kPanelVectors * W) {
      const int nv = static_cast<int>(min_of<int64_t>(kPanelVectors, ceil_div(outputs_ - column, W)));
      with_rows<kPanelVectors>(nv, [&](auto v) {
        constexpr int NV = decltype(v)::value;
        row_blocks<correlated_rows(NV)>(count, [&](int64_t row, auto mr) {
          constexpr int MR = decltype(mr)::value;
          for (int i = 0; column == 0 && i < MR; i++) fetch_rows(coming[row + i], chunk.next, Pairs ? 2 : 1, inputs_);
          filter_tile<MR, NV>(chunk, row, column);
        });
      });
    }
    c.finish.rows(b, chunk.out, Pairs ? 2 * count : count, [&](int64_t i) { return chunk.frames[i]; });
  }

  FilterPlan plan_;
  int64_t inputs_, outputs_;
  Product m_ = {}, n_ = {}, first_ = {}, second_ = {};
  int64_t pairs_ = 0, room_size_ = 0;  // at once; numbers
  R* rooms_ = nullptr;  // for each thread, rows to multiply and sums of a tile
};

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
