// The product that convolution and its input gradient share:
//
//   out[t] = bias + sum_k in[t + k * dilation - left] W_k,   rows outside the sequence count as zeros.
//
// Tap k is a product of rows moved by k * dilation - left with a matrix. All taps are summed in one tile of
// registers, so no input is copied and an output row is written once. Time is cut into segments in which the
// set of taps that fall inside the sequence is constant: no test in the tile, no work on zeros.
// Every output is summed in one order: bias, taps from the oldest, input channels. What follows the products is done
// to some rows at a time, while they are in the cache (conv/finish.h).
#pragma once

#include "conv/finish.h"
#include "gemm/tile.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

template <class R, class P>
struct Correlation {
  int64_t batch, inputs, outputs, taps, dilation, left;  // inputs: operands of P in a row
  const int64_t* lengths;    // [batch]
  const int64_t* in_start;   // [batch] first row of each sequence in `in`
  const R* in;               // rows of `inputs` operands
  int64_t in_stride;
  const R* weight;           // panels of taps * inputs lines, for `outputs` columns (gemm/tile.h)
  const R* bias;             // [outputs rounded up to vectors], may be null
  Finish<R> finish;          // where the rows of `outputs` numbers go
};

// Rows of a tile. Two vectors wide, 8 rows are sums enough to cover the latency; with more, the pointers to rows leave the
// registers (2 % slower with 12 rows, of 30 channels).
constexpr int correlated_rows(int nv) { return nv == 2 && tile_rows(nv) > 8 ? 8 : tile_rows(nv); }

// Rows laid out for one pass over the panels: a multiple of all tile heights, and its input stays in L1.
constexpr int64_t kRowChunk = 96;
constexpr int64_t kMostRows = 2 * kRowChunk;

// Taps [first, last) reach rows inside a sequence, for all of its rows from the one asked for up to `end`.
struct LiveTaps {
  int64_t first, last, end;
};

PYSEQ_INLINE LiveTaps live_taps(int64_t taps, int64_t dilation, int64_t left, int64_t length, int64_t t) {
  LiveTaps live = {0, min_of(taps, ceil_div(length + left - t, dilation)), length};
  if (t < left) {
    live.first = ceil_div(left - t, dilation);
    live.end = min_of(live.end, left - (live.first - 1) * dilation);
  }
  if (live.last > 0) live.end = min_of(live.end, length + left - (live.last - 1) * dilation);
  live.last = max_of(live.first, live.last);
  return live;
}

// Asks for rows that the next tile reads under its newest tap; its older taps read what is in the cache by then.
// A tile reads short pieces of many rows, which the hardware does not foresee. Any address may be asked for.
template <class R>
PYSEQ_INLINE void fetch_rows(const R* row, int64_t stride, int rows, int64_t width) {
  for (int i = 0; i < rows; i++)
    for (int64_t j = 0; j < width; j += 64 / static_cast<int64_t>(sizeof(R))) __builtin_prefetch(row + i * stride + j);
}

// Output rows [t, t + rows) of sequence b, rows at most kMostRows. scratch: as many rows of `outputs` numbers, where
// the products are kept nowhere.
template <class R, class P>
void correlate_rows(const Correlation<R, P>& c, const LiveTaps& live, int64_t b, int64_t t, int64_t rows, R* scratch) {
  const R* a[kMostRows];
  R* out[kMostRows];
  const R* in = c.in + (c.in_start[b] + t + live.first * c.dilation - c.left) * c.in_stride;
  R* z = c.finish.z_rows(b, t, scratch);
  const int64_t in_stride = c.in_stride, z_stride = c.finish.z_stride();
  for (int64_t i = 0; i < rows; i++) a[i] = in + i * in_stride, out[i] = z + i * z_stride;
  RowProduct<R, P> p = {a,      live.last - live.first, c.inputs, c.dilation * c.in_stride, nullptr,
                        c.bias, out,                    c.outputs, false};
  if (p.block_stride == p.run) {  // taps lie one after the other: one long run, in the same order
    p.run *= p.blocks;
    p.blocks = 1;
  }
  const R* newest = in + (live.last - 1 - live.first) * c.dilation * c.in_stride;
  for (int64_t column = 0; column < c.outputs; column += kPanelVectors * kLanes<R>) {
    const int nv = static_cast<int>(min_of<int64_t>(kPanelVectors, ceil_div(c.outputs - column, kLanes<R>)));
    const R* panel = c.weight + c.inputs * (c.taps * column + live.first * nv * kLanes<R>);
    with_rows<kPanelVectors>(nv, [&](auto v) {
      constexpr int NV = decltype(v)::value;
      row_blocks<correlated_rows(NV)>(rows, [&](int64_t row, auto mr) {
        if (column == 0) fetch_rows(newest + (row + mr) * c.in_stride, c.in_stride, mr, c.inputs);
        row_product_tile<R, decltype(mr)::value, NV, P>(p, row, panel, column);
      });
    });
  }
  c.finish.rows(b, out, rows, [&](int64_t i) { return t + i; });
}

// Output rows [t, stop) of sequence b.
template <class R, class P>
void correlate_span(const Correlation<R, P>& c, int64_t b, int64_t t, int64_t stop, R* scratch) {
  while (t < stop) {
    const LiveTaps live = live_taps(c.taps, c.dilation, c.left, c.lengths[b], t);
    for (const int64_t end = min_of(live.end, stop); t < end;) {
      const int64_t rows = end - t <= kMostRows ? end - t : kRowChunk;
      correlate_rows(c, live, b, t, rows, scratch);
      t += rows;
    }
  }
}

// Output rows [row0, row1), counted over all sequences.
template <class R, class P>
void correlate(const Correlation<R, P>& c, int64_t row0, int64_t row1, R* scratch) {
  int64_t first = 0;
  for (int64_t b = 0; b < c.batch && first < row1; first += c.lengths[b++])
    correlate_span(c, b, max_of<int64_t>(0, row0 - first), min_of(c.lengths[b], row1 - first), scratch);
}

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
