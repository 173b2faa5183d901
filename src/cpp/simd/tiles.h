// Tile registers: eight matrices of 16 rows of 64 bytes, and one product of them.
//
//   C[m][n] += sum_k A[m][k].first * B[k][n].first + sum_k A[m][k].second * B[k][n].second,   m, n, k < 16
//
// C holds float32 numbers; A and B hold pairs of bfloat16 numbers. Each of the two sums starts from zero, runs in the
// order of k by fused multiply-adds and rounds to nearest even; then the two are added, and that to C. Subnormal numbers
// count as zero, and become it (Intel 64 and IA-32 Architectures Software Developer's Manual, TDPBF16PS).
//
// Two implementations: the processor's instructions (AMX-TILE, AMX-BF16), and their emulation on vectors, exact to the
// bit, for tests where the instructions are absent (cmake/isa.cmake: PYSEQ_EMULATED_TILES).
//
// Tiles of a thread exist between configure_tiles and release_tiles. Their numbers are template arguments, since they
// are part of the instruction.
#pragma once

#include "simd/lanes.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr int kTileRows = 16;               // of A and C; pairs of k that B holds
constexpr int kTileLanes = 16;              // numbers or pairs in a row
constexpr int kTileSize = kTileRows * kTileLanes;
constexpr int kTileDepth = 2 * kTileLanes;  // numbers of k in a product
constexpr int kTiles = 8;
// Tiles 0 to 5 hold rows of A and C, of which there may be fewer than 16; tiles 6 and 7 hold B.
constexpr int kFirstTileOfB = 6;

#if defined(PYSEQ_EMULATED_TILES)

struct TileRegisters {
  alignas(64) float tile[kTiles][kTileSize];
  int rows;
};
thread_local TileRegisters tile_registers;

constexpr int tile_height(int tile, int rows) { return tile < kFirstTileOfB ? rows : kTileRows; }

// rows: of A and C, 1 to 16. All tiles become zero.
inline void configure_tiles(int rows) {
  memset(&tile_registers, 0, sizeof tile_registers);
  tile_registers.rows = rows;
}
inline void release_tiles() { tile_registers.rows = 0; }

template <int T>
PYSEQ_INLINE void zero_tile() { memset(tile_registers.tile[T], 0, sizeof tile_registers.tile[T]); }

// Rows lie `stride` numbers apart.
template <int T>
PYSEQ_INLINE void load_tile(const float* p, int64_t stride) {
  zero_tile<T>();
  for (int m = 0; m < tile_height(T, tile_registers.rows); m++)
    store(tile_registers.tile[T] + m * kTileLanes, load(p + m * stride));
}
template <int T>
PYSEQ_INLINE void store_tile(float* p, int64_t stride) {
  for (int m = 0; m < tile_height(T, tile_registers.rows); m++)
    store(p + m * stride, load(tile_registers.tile[T] + m * kTileLanes));
}

// The first and the second numbers of pairs, as float32.
PYSEQ_INLINE Vec<float> first_of_pairs(Vec<float> pairs) { return (Vec<float>)((IntVec<float>)pairs << 16); }
PYSEQ_INLINE Vec<float> second_of_pairs(Vec<float> pairs) {
  return (Vec<float>)((IntVec<float>)pairs & splat_int<float>(-65536));
}

__attribute__((noinline)) void emulate_tile_product(float* c, const float* a, const float* b, int rows) {
  const FlushToZero flush;
  for (int m = 0; m < rows; m++, a += kTileLanes, c += kTileLanes) {
    Vec<float> first = {}, second = {};
    for (int k = 0; k < kTileRows; k++) {
      const Vec<float> left = splat(a[k]), right = load(b + k * kTileLanes);
      first = fma(first_of_pairs(left), first_of_pairs(right), first);
      second = fma(second_of_pairs(left), second_of_pairs(right), second);
    }
    store(c, load(c) + (first + second));
  }
}
// C += A B.
template <int C, int A, int B>
PYSEQ_INLINE void multiply_tiles() {
  auto& t = tile_registers.tile;
  emulate_tile_product(t[C], t[A], t[B], tile_registers.rows);
}

#else

// Own assembly instead of the compiler's names for these instructions: GCC 12 declares that the configuration is 8 bytes
// long and that loading a tile reads no memory, and leaves out or moves the stores before them.

inline void configure_tiles(int rows) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {};
  static_assert(sizeof configuration == 64, "as the processor reads it");
  configuration.palette = 1;
  for (int t = 0; t < kTiles; t++) {
    configuration.row_bytes[t] = kTileLanes * sizeof(float);
    configuration.rows[t] = static_cast<uint8_t>(t < kFirstTileOfB ? rows : kTileRows);
  }
  asm volatile("ldtilecfg %0" : : "m"(configuration));
}
inline void release_tiles() { asm volatile("tilerelease"); }

template <int T>
PYSEQ_INLINE void zero_tile() { asm volatile("tilezero %%tmm%c0" : : "i"(T)); }

template <int T>
PYSEQ_INLINE void load_tile(const float* p, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(T), "r"(p), "r"(stride * 4) : "memory");
}
template <int T>
PYSEQ_INLINE void store_tile(float* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(T), "r"(p), "r"(stride * 4) : "memory");
}
template <int C, int A, int B>
PYSEQ_INLINE void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

#endif

// ---------------------------------------------------------------------------------------- operands in memory

#if defined(__AVX512BF16__)
// What tiles multiply: a number as the sum of kParts bfloat16 numbers, each the nearest to what those before it leave.
// The products of two numbers' parts are added in the order low * high, high * high, high * low.
// Pairs lie in memory where a float would lie; parts of the same numbers lie `low` floats apart.
template <int kParts>
struct TilePairs {
  static constexpr int size = 2, parts = kParts;
  static constexpr bool tiled = true;
  static constexpr double rate = 4.0 / kParts;  // of whole training steps, by a prototype on AMX

  // 16 pairs each: part p of (a[lane], b[lane]) is out[p].
  PYSEQ_INLINE static void join(Vec<float> a, Vec<float> b, Vec<float> (&out)[kParts]) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m512i first = widen(a), second = high(widen(b));
      out[p] = (Vec<float>)_mm512_or_si512(first, second);
      a -= (Vec<float>)high(first);
      b -= (Vec<float>)second;
    }
  }
  // The same where a is what b was in `before`: its parts need not be made again.
  PYSEQ_INLINE static void join_next(const Vec<float> (&before)[kParts], Vec<float> b, Vec<float> (&out)[kParts]) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m512i second = high(widen(b));
      out[p] = (Vec<float>)_mm512_or_si512(_mm512_maskz_srli_epi32(0xffff, (__m512i)before[p], 16), second);
      b -= (Vec<float>)second;
    }
  }
  // Pairs of neighbours among 32 numbers.
  PYSEQ_INLINE static void neighbours(Vec<float> a, Vec<float> b, Vec<float> (&out)[kParts]) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      out[p] = (Vec<float>)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
      if (p + 1 < kParts) {
        a -= (Vec<float>)high(widen(a));
        b -= (Vec<float>)high(widen(b));
      }
    }
  }
  PYSEQ_INLINE static void load(const float* p, int64_t left, Vec<float> (&out)[kParts]) {
    constexpr int W = kLanes<float>;
    neighbours(load_up_to(p, left), left > W ? load_up_to(p + W, left - W) : Vec<float>{}, out);
  }
  // The pairs of neighbours of v: half as many as it has lanes.
  PYSEQ_INLINE static void store(float* pairs, Vec<float> v, int64_t low) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m256bh half = _mm512_cvtneps_pbh((__m512)v);
      _mm256_storeu_ps(pairs + p * low, (__m256)half);
      if (p + 1 < kParts) v -= (Vec<float>)high(widen(half));
    }
  }
  // Fills `room` pairs with the neighbours of `count` numbers, and zeros beyond.
  PYSEQ_INLINE static void copy(float* pairs, const float* numbers, int64_t count, int64_t room, int64_t low) {
    for (int64_t k = 0; k < room; k += kLanes<float>) {
      Vec<float> v[kParts];
      load(numbers + size * k, count - size * k, v);
      PYSEQ_UNROLL for (int p = 0; p < kParts; p++) store_up_to(pairs + p * low + k, v[p], room - k);
    }
  }
  // The two stores of store_first and store_second make a line of pairs at `line`, the second coming first: it clears
  // the places of the other. store_first is told whether there was one.
  // Also stores v as pairs of neighbours, as `store` does.
  PYSEQ_INLINE static void store_second(float* line, int64_t line_low, float* pairs, int64_t low, Vec<float> v) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m512i number = high(store_half(pairs + p * low, v));
      _mm512_storeu_si512(line + p * line_low, number);
      v -= (Vec<float>)number;
    }
  }
  PYSEQ_INLINE static void store_first(float* line, int64_t line_low, float* pairs, int64_t low, Vec<float> v, bool joins) {
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m512i number = store_half(pairs + p * low, v);
      if (joins) _mm512_mask_storeu_epi16(line + p * line_low, 0x55555555, number);
      else _mm512_storeu_si512(line + p * line_low, number);
      v -= (Vec<float>)high(number);
    }
  }
  // sum + both numbers of each of a line's pairs.
  PYSEQ_INLINE static Vec<float> add_line(Vec<float> sum, const float* line, int64_t low) {
    Vec<float> first = {}, second = {};
    PYSEQ_UNROLL for (int p = 0; p < kParts; p++) {
      const __m512i pairs = _mm512_loadu_si512(line + p * low);
      first += (Vec<float>)high(pairs);
      second += (Vec<float>)_mm512_and_si512(pairs, _mm512_set1_epi32(-65536));
    }
    return sum + first + second;
  }

 private:
  // The bits of each number as bfloat16, in the low half of its lane.
  PYSEQ_INLINE static __m512i widen(__m256bh half) { return _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)half); }
  PYSEQ_INLINE static __m512i widen(Vec<float> v) { return widen(_mm512_cvtneps_pbh((__m512)v)); }
  PYSEQ_INLINE static __m512i high(__m512i bits) { return (__m512i)((IntVec<float>)bits << 16); }
  PYSEQ_INLINE static __m512i store_half(float* p, Vec<float> v) {
    const __m256bh half = _mm512_cvtneps_pbh((__m512)v);
    _mm256_storeu_ps(p, (__m256)half);
    return widen(half);
  }
};
#endif

}  // namespace
}  // namespace PYSEQ_TIER
}  // namespace pyseq
