// y = x W^T + b and its gradients; embedding rows and their gradient.
#include "gemm/tile.h"
#include "runtime/parallel.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int64_t kRowBlock = 64;     // rows whose pointers are laid out at a time
constexpr int64_t kFrameBlock = 256;  // frames of a weight-gradient pass: its packed operands stay in L1 and L2
constexpr int kOuterVectors = 2;      // 12 x 2 tiles for sums over frames (6 x 2 with 16 registers)

template <class R>
int dense_threads(const Dense<R>& d) {
  return threads_for(d.crew, 2.0 * static_cast<double>(d.rows) * static_cast<double>(d.inputs) * static_cast<double>(d.outputs));
}

template <class R>
struct DenseWork {
  static constexpr int W = kLanes<R>, NV = kOuterVectors, MR = tile_rows(NV);
  int threads;
  int64_t strips, tiles;    // of the weight gradient: NV vectors of inputs, MR outputs
  R *weight, *bias;         // packed forward operand
  R* weight_t;              // packed backward operand
  R *a, *b;                 // weight gradient, [threads]: packed operands
  R* sums;                  // [tiles][strips][MR][NV vectors]

  DenseWork(const Dense<R>& d, Arena& arena)
      : threads(dense_threads(d)), strips(ceil_div(d.inputs, NV * W)), tiles(ceil_div(d.outputs, MR)) {
    weight = arena.take<R>(panels_size<R>(d.inputs, d.outputs));
    bias = arena.take<R>(round_up(d.outputs, W));
    weight_t = arena.take<R>(panels_size<R>(d.outputs, d.inputs));
    a = arena.take<R>(kFrameBlock * MR * threads);
    b = arena.take<R>(kFrameBlock * NV * W * threads);
    sums = arena.take<R>(tiles * strips * MR * NV * W);
  }
};

template <class R>
int64_t dense_workspace(const Dense<R>& d) noexcept {
  Arena count(nullptr);
  DenseWork<R> work(d, count);
  return count.used();
}

// Rows [row0, row1) of a product whose operands have plain strides.
template <class R>
void strided_rows(RowProduct<R> p, const R* a, int64_t a_stride, R* out, int64_t out_stride, int64_t row0, int64_t row1) {
  const R* a_rows[kRowBlock];
  R* out_rows[kRowBlock];
  p.a = a_rows;
  p.out = out_rows;
  for (int64_t r = row0; r < row1; r += kRowBlock) {
    const int64_t n = min_of(kRowBlock, row1 - r);
    for (int64_t i = 0; i < n; i++) {
      a_rows[i] = a + (r + i) * a_stride;
      out_rows[i] = out + (r + i) * out_stride;
    }
    row_product(p, n);
  }
}

template <class R>
struct DenseContext {
  const Dense<R>& d;
  DenseWork<R>& work;
};

template <class R>
void forward_thread(void* context, int thread, int threads) {
  const auto& [d, work] = *static_cast<DenseContext<R>*>(context);
  RowProduct<R> p = {nullptr, 1, d.inputs, 0, work.weight, d.bias ? work.bias : nullptr, nullptr, d.outputs, false};
  strided_rows(p, d.x, d.x_stride, d.y, d.y_stride, piece_start(d.rows, threads, thread),
               piece_start(d.rows, threads, thread + 1));
}

template <class R>
void dense_forward(const Dense<R>& d) noexcept {
  Arena arena(d.workspace);
  DenseWork<R> work(d, arena);
  pack_panels(work.weight, d.inputs, d.outputs, [&](int64_t k, int64_t c) { return d.weight[c * d.inputs + k]; });
  if (d.bias) memcpy(work.bias, d.bias, static_cast<size_t>(d.outputs) * sizeof(R));
  DenseContext<R> context = {d, work};
  run_parallel(work.threads, forward_thread<R>, &context);
}

// `wide` columns of n rows, filled up to `Width` with zeros.
template <int Width, class R>
void pack_strip(R* dst, const R* src, int64_t stride, int64_t n, int64_t wide) {
  for (int64_t r = 0; r < n; r++)
    for (int64_t i = 0; i < Width; i++) dst[r * Width + i] = i < wide ? src[r * stride + i] : R(0);
}
// M columns of n rows.
template <int M, class R>
void pack_columns(R* dst, const R* src, int64_t stride, int64_t n) {
  for (int64_t r = 0; r < n; r++)
    for (int i = 0; i < M; i++) dst[r * M + i] = src[r * stride + i];
}

// A tile of grad_weight[o][i] = sum_r grad_y[r][o] x[r][i], M outputs from `first`: its sums over n rows from r0.
template <int M, class R>
void gradient_tile(const Dense<R>& d, const DenseWork<R>& work, int64_t tile, int64_t strip, int64_t r0, int64_t n,
                   R* a, const R* x, int64_t x_stride) {
  using Work = DenseWork<R>;
  pack_columns<M>(a, d.grad_y + r0 * d.grad_y_stride + tile * Work::MR, d.grad_y_stride, n);
  outer_tile<R, M, Work::NV>(n, a, x, x_stride, work.sums + (tile * work.strips + strip) * Work::MR * Work::NV * Work::W);
}

// Tiles [q0, q1) of outputs. Every sum runs over the rows in order.
template <class R>
void weight_gradient(const Dense<R>& d, DenseWork<R>& work, int thread, int64_t q0, int64_t q1) {
  using Work = DenseWork<R>;
  constexpr int W = Work::W, MR = Work::MR, NV = Work::NV;
  if (q0 == q1) return;
  R *a = work.a + kFrameBlock * MR * thread, *b = work.b + kFrameBlock * NV * W * thread;
  const int64_t tile_size = work.strips * MR * NV * W;
  memset(work.sums + q0 * tile_size, 0, static_cast<size_t>((q1 - q0) * tile_size) * sizeof(R));
  for (int64_t r0 = 0; r0 < d.rows; r0 += kFrameBlock) {
    const int64_t n = min_of(kFrameBlock, d.rows - r0);
    for (int64_t s = 0; s < work.strips; s++) {
      const int64_t i0 = s * NV * W, wide = min_of<int64_t>(NV * W, d.inputs - i0);
      const R* x = d.x + r0 * d.x_stride + i0;
      const bool whole = wide == NV * W;  // a last, narrower strip is copied and filled up with zeros
      if (!whole) pack_strip<NV * W>(b, x, d.x_stride, n, wide);
      for (int64_t q = q0; q < q1; q++)
        with_rows<MR>(static_cast<int>(min_of<int64_t>(MR, d.outputs - q * MR)), [&](auto mr) {
          gradient_tile<decltype(mr)::value>(d, work, q, s, r0, n, a, whole ? x : b, whole ? d.x_stride : NV * W);
        });
    }
  }
  for (int64_t o = q0 * MR; o < min_of(q1 * MR, d.outputs); o++)
    for (int64_t s = 0; s < work.strips; s++)
      memcpy(d.grad_weight + o * d.inputs + s * NV * W, work.sums + ((o / MR * work.strips + s) * MR + o % MR) * NV * W,
             static_cast<size_t>(min_of<int64_t>(NV * W, d.inputs - s * NV * W)) * sizeof(R));
}

template <class R>
void backward_thread(void* context, int thread, int threads) {
  const auto& [d, work] = *static_cast<DenseContext<R>*>(context);
  if (d.grad_x) {
    RowProduct<R> p = {nullptr, 1, d.outputs, 0, work.weight_t, nullptr, nullptr, d.inputs, false};
    strided_rows(p, d.grad_y, d.grad_y_stride, d.grad_x, d.inputs, piece_start(d.rows, threads, thread),
                 piece_start(d.rows, threads, thread + 1));
  }
  const int64_t q0 = piece_start(work.tiles, threads, thread), q1 = piece_start(work.tiles, threads, thread + 1);
  weight_gradient(d, work, thread, q0, q1);
  if (!d.grad_bias) return;
  constexpr int64_t MR = DenseWork<R>::MR;
  const int64_t o0 = q0 * MR, o1 = min_of(q1 * MR, d.outputs);
  for (int64_t o = o0; o < o1; o++) d.grad_bias[o] = 0;
  for (int64_t r = 0; r < d.rows; r++)
    for (int64_t o = o0; o < o1; o++) d.grad_bias[o] += d.grad_y[r * d.grad_y_stride + o];
}

template <class R>
void dense_backward(const Dense<R>& d) noexcept {
  Arena arena(d.workspace);
  DenseWork<R> work(d, arena);
  if (d.grad_x)
    pack_panels(work.weight_t, d.outputs, d.inputs, [&](int64_t k, int64_t c) { return d.weight[k * d.inputs + c]; });
  DenseContext<R> context = {d, work};
  run_parallel(work.threads, backward_thread<R>, &context);
}

template <class R>
void embedding_forward(const Embedding<R>& e) noexcept {
  for (int64_t r = 0; r < e.rows; r++)
    memcpy(e.y + r * e.dim, e.weight + e.tokens[r] * e.dim, static_cast<size_t>(e.dim) * sizeof(R));
}

template <class R>
void embedding_backward(const Embedding<R>& e) noexcept {
  memset(e.grad_weight, 0, static_cast<size_t>(e.vocabulary * e.dim) * sizeof(R));
  for (int64_t r = 0; r < e.rows; r++) {
    R* g = e.grad_weight + e.tokens[r] * e.dim;
    const R* y = e.grad_y + r * e.dim;
    for (int64_t i = 0; i < e.dim; i++) g[i] += y[i];
  }
}

template <class R>
void fill(Kernels<R>& k) {
  k.dense_workspace = dense_workspace<R>;
  k.dense_forward = dense_forward<R>;
  k.dense_backward = dense_backward<R>;
  k.embedding_forward = embedding_forward<R>;
  k.embedding_backward = embedding_backward<R>;
}

}  // namespace

void fill_dense(KernelTable& table) noexcept {
  fill(table.f32);
  fill(table.f64);
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
