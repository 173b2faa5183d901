// The inner loops that every product shares. A tile is MR rows of NV vectors of sums in registers.
#pragma once

#include "gemm/ahead.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

// Most rows of a tile nv vectors wide. One vector wide, two thirds of the registers already cover the latency.
constexpr int tile_rows(int nv) { return nv == 1 ? kAccumulators * 2 / 3 : kAccumulators / nv; }

// Most vectors in a panel of packed weights.
constexpr int kPanelVectors = 4;

// What products multiply: one number a lane, or several that belong to neighbouring k (simd/pairs.h), `size` of them.
// Where tile registers multiply them (simd/tiles.h), each may be the sum of several `parts`. `rate`: how many products
// take the time of one of numbers.
struct Numbers {
  static constexpr int size = 1, parts = 1;
  static constexpr bool tiled = false;
  static constexpr double rate = 1;
  template <class V>
  PYSEQ_INLINE static V multiply_add(V a, V b, V sum) { return fma(a, b, sum); }
  // kLanes operands of the numbers at p, of which the first `left` exist.
  template <class R>
  PYSEQ_INLINE static Vec<R> load(const R* p, int64_t left) { return load_up_to(p, left); }
  // Operands whose numbers are the lanes of f(0), f(1), ...
  template <class F>
  PYSEQ_INLINE static auto join(const F& f) { return f(0); }
};

// acc[n * MR + i][OFF + j] += sum_k a(i, k) * b[n * block + k * ldb][j], in the order of k, for NB blocks n of
// vectors. a(i, k) is a scalar to broadcast: an operand of P, as the lanes of b are, and k counts operands. With few
// rows, blocks side by side fill the pipelines.
template <class R, int NB, int MR, int NV, int LD, int OFF, class P = Numbers, class A>
PYSEQ_INLINE void multiply_add_blocks(Vec<R> (&acc)[NB * MR][LD], int64_t K, const A& a, const R* b, int64_t ldb,
                                      int64_t block) {
#pragma GCC unroll 1
  for (int64_t k = 0; k < K; k++) {
    Vec<R> line[NB * NV];
    PYSEQ_UNROLL for (int j = 0; j < NB * NV; j++) line[j] = load(b + j / NV * block + k * ldb + kLanes<R> * (j % NV));
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) {
      const Vec<R> s = splat(a(i, k));
      PYSEQ_UNROLL for (int j = 0; j < NB * NV; j++) {
        Vec<R>& sum = acc[j / NV * MR + i][OFF + j % NV];
        sum = P::multiply_add(s, line[j], sum);
      }
    }
  }
}
template <class R, int MR, int NV, int LD, int OFF, class P = Numbers, class A>
PYSEQ_INLINE void multiply_add(Vec<R> (&acc)[MR][LD], int64_t K, const A& a, const R* b, int64_t ldb) {
  multiply_add_blocks<R, 1, MR, NV, LD, OFF, P>(acc, K, a, b, ldb, 0);
}

// f(Int<rows>) for 1 <= rows <= M.
template <int M, class F>
PYSEQ_INLINE void with_rows(int rows, const F& f) {
  if constexpr (M > 0) {
    if (rows == M) f(Int<M>{});
    else with_rows<M - 1>(rows, f);
  }
}

// f(first, Int<rows>) over n rows in blocks of nearly equal size, at most M. A row's result must not depend on
// the block it falls into.
template <int M, class F>
PYSEQ_INLINE void row_blocks(int64_t n, const F& f) {
  const int64_t blocks = ceil_div(n, M);
  int64_t first = 0;
  for (int64_t q = 0; q < blocks; q++) {
    const int rows = static_cast<int>(n / blocks + (q < n % blocks));
    with_rows<M>(rows, [&](auto mr) { f(first, mr); });
    first += rows;
  }
}

// ---------------------------------------------------------------- rows of scalars times packed weights

//   out[i][c] = (accumulate ? out[i][c] : 0) + bias[c] + sum_k a[i][k] * b[k][c]
// A row of `a` is `blocks` runs of `run` operands, `block_stride` apart. b is packed in panels of
// kPanelVectors vectors (the last may be narrower): [panel][blocks * run][vectors * lanes]. `ahead` is called once a
// run and tile.
template <class R, class P = Numbers>
struct RowProduct {
  const R* const* a;    // [rows]
  int64_t blocks, run, block_stride;
  const R* b;
  const R* bias;        // [columns rounded up to vectors], may be null
  R* const* out;        // [rows]
  int64_t columns;      // of out; not a multiple of the vector: the last one is stored in part
  bool accumulate;
  Ahead* ahead = nullptr;
};

template <class R, int MR, int NV, class P>
PYSEQ_TILE void row_product_tile(const RowProduct<R, P>& p, int64_t row, const R* b, int64_t column) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[MR][NV];
  PYSEQ_UNROLL for (int j = 0; j < NV; j++) {
    const Vec<R> v = p.bias ? load(p.bias + column + W * j) : Vec<R>{};
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) acc[i][j] = v;
  }
  const R* a[MR];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) a[i] = p.a[row + i];
  for (int64_t q = 0; q < p.blocks; q++, b += p.run * NV * W) {
    if (p.ahead) p.ahead->some();
    multiply_add<R, MR, NV, NV, 0, P>(acc, p.run, [&](int i, int64_t k) { return a[i][k]; }, b, NV * W);
    PYSEQ_UNROLL for (int i = 0; i < MR; i++) a[i] += p.block_stride;
  }
  const int64_t left = p.columns - column - (NV - 1) * W;  // numbers in the last vector; more: it is whole
  if (p.accumulate)
    PYSEQ_UNROLL for (int i = 0; i < MR; i++)
      PYSEQ_UNROLL for (int j = 0; j < NV; j++) {
        const R* out = p.out[row + i] + column + W * j;
        acc[i][j] = (j < NV - 1 ? load(out) : load_up_to(out, left)) + acc[i][j];
      }
  if (left >= W) {  // without a question for each vector
    PYSEQ_UNROLL for (int i = 0; i < MR; i++)
      PYSEQ_UNROLL for (int j = 0; j < NV; j++) store(p.out[row + i] + column + W * j, acc[i][j]);
    return;
  }
  PYSEQ_UNROLL for (int i = 0; i < MR; i++) {
    R* out = p.out[row + i] + column;
    PYSEQ_UNROLL for (int j = 0; j < NV - 1; j++) store(out + W * j, acc[i][j]);
    store_n(out + W * (NV - 1), acc[i][NV - 1], static_cast<int>(left));
  }
}

// The panel that starts at `column`, for `rows` rows.
template <class R, class P>
PYSEQ_INLINE void row_product_panel(const RowProduct<R, P>& p, int64_t rows, int64_t column) {
  const int64_t width = kPanelVectors * kLanes<R>, K = p.blocks * p.run;
  const int nv = static_cast<int>(min_of<int64_t>(kPanelVectors, ceil_div(p.columns - column, kLanes<R>)));
  const R* b = p.b + column / width * K * width;
  with_rows<kPanelVectors>(nv, [&](auto v) {
    constexpr int NV = decltype(v)::value;
    row_blocks<tile_rows(NV)>(rows, [&](int64_t row, auto mr) {
      row_product_tile<R, decltype(mr)::value, NV, P>(p, row, b, column);
    });
  });
}
template <class R, class P>
PYSEQ_INLINE void row_product(const RowProduct<R, P>& p, int64_t rows) {
  for (int64_t c = 0; c < p.columns; c += kPanelVectors * kLanes<R>) row_product_panel(p, rows, c);
}

// Numbers in packed panels of K lines for `columns` columns.
template <class R>
PYSEQ_INLINE int64_t panels_size(int64_t K, int64_t columns) { return K * round_up(columns, kLanes<R>); }

// Fills panels from src(k, c), zero beyond `columns`.
template <class R, class S>
PYSEQ_INLINE void pack_panels(R* dst, int64_t K, int64_t columns, const S& src) {
  const int64_t width = kPanelVectors * kLanes<R>;
  for (int64_t c0 = 0; c0 < columns; c0 += width) {
    const int64_t wide = min_of(width, round_up(columns - c0, kLanes<R>)), n = min_of(wide, columns - c0);
    for (int64_t k = 0; k < K; k++, dst += wide) {
      for (int64_t c = 0; c < n; c++) dst[c] = src(k, c0 + c);
      for (int64_t c = n; c < wide; c++) dst[c] = 0;
    }
  }
}

// ------------------------------------------------------------------------------------ sums over frames

// c[i][j] += sum_f a[f][i] * b[f][j]: a is packed, MR operands a frame; b has `ldb` operands a frame;
// c is [MR][NV vectors], packed. Operands that hold several frames count as one. The next tile's sums lie behind c and are
// asked for: at 512 units, in pairs, a backward pass took 9 % less for it, at 256 in float32 4 %.
template <class R, int MR, int NV, class P = Numbers>
PYSEQ_TILE void outer_tile(int64_t frames, const R* a, const R* b, int64_t ldb, R* c) {
  constexpr int W = kLanes<R>;
  Vec<R> acc[MR][NV];
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) acc[i][j] = load(c + (i * NV + j) * W);
  PYSEQ_UNROLL for (int i = 0; i < MR * NV; i++) __builtin_prefetch(c + (MR * NV + i) * W, 1, 2);
  multiply_add<R, MR, NV, NV, 0, P>(acc, frames, [&](int i, int64_t f) { return a[f * MR + i]; }, b, ldb);
  PYSEQ_UNROLL for (int i = 0; i < MR; i++)
    PYSEQ_UNROLL for (int j = 0; j < NV; j++) store(c + (i * NV + j) * W, acc[i][j]);
}

// Tile q of `tiles` nearly equal pieces of n: [piece_start(q), piece_start(q + 1)).
PYSEQ_INLINE int64_t piece_start(int64_t n, int64_t tiles, int64_t q) { return n * q / tiles; }

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
