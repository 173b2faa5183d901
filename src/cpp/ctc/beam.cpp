// One frame of a CTC prefix beam search: which prefixes stay, and with which scores.
//
// Prefixes are unique, so two ways of writing one meet in a single place: an entry, and the extension by its last
// label of the entry that is its parent. That sum is formed over entries as vectors; nothing is hashed.
//
// Pruning loses nothing. Once `width` candidates are known, the worst of the best so far is a threshold that an
// extension must exceed. It removes most classes before any prefix is looked at, and most prefixes before any class is.
#include "ctc/beam_groups.h"
#include "ctc/log_sum.h"
#include "ctc/softmax.h"

namespace pyseq {
namespace PYSEQ_TIER {
namespace {

constexpr double kDead = kNoScore / 2;  // scores below are those of nothing

template <class R>
class Frame {
 public:
  // Cuts the workspace of p, or counts its bytes over a null one.
  Frame(const CtcBeamFrame<R>& frame, int64_t* bytes) : p(frame) {
    Arena arena(frame.workspace);
    const int64_t room = beam_room(p.width), classes = round_up(p.classes, W) + W;
    total = arena.take<R>(room);
    arriving = arena.take<R>(room);
    stay_blank = arena.take<R>(room);
    stay_label = arena.take<R>(room);
    class_score = arena.take<R>(classes);
    class_id = arena.take<Int>(classes);
    every_class = arena.take<R>(classes);
    // `extend` cuts at some widths, and adds at most all classes before it looks
    const int64_t candidates = kCutFrom * room + classes + 2 * W;
    excluded = arena.take<uint16_t>(p.width * ceil_div(p.classes, W));
    promising = arena.take<Int>(room + W);
    groups = RowGroups<R>(arena, room, classes);
    score = arena.take<R>(candidates);
    id = arena.take<Int>(candidates);
    from = arena.take<Int>(candidates);
    *bytes = arena.used();
  }

  BeamFrameResult<R> run() {
    const RowSum<R> row = sum_of_row();
    if (!(row.sum == row.sum)) return {-1, R(0), R(0)};
    choose_packing();
    denominator = row.top + static_cast<R>(__builtin_log(static_cast<double>(row.sum)));
    least = min_of(p.least, row.top - denominator);
    sum_entries();
    keep_entries();
    group_entries();
    choose_classes();
    add_extensions();
    if (size > p.width) cut();
    return {size, write_entries(), denominator};
  }

 private:
  static constexpr int W = kLanes<R>;
  using Int = Int_t<R>;

  RowSum<R> sum_of_row() const {
    RowSum<R> r;
    if (!with_short_row<R>(p.classes, [&](auto vectors) {
          r = short_row<decltype(vectors)::value, R>(p.logits, p.classes, nullptr, nullptr);
        }))
      r = exp_row<R>(p.logits, p.classes, nullptr);
    return r;
  }

  // What a candidate is: label, and entry above it if both fit into one number; `from` holds the entry if not.
  void choose_packing() {
    shift = 64 - __builtin_clzll(static_cast<uint64_t>(p.classes));
    packed = p.width <= kMostPacked >> shift;
    no_label = packed ? static_cast<Int>((int64_t{1} << shift) - 1) : Int(-1);
  }
  static constexpr int64_t kMostPacked = 1 << 24;  // of 2^31: what is larger takes no long test either
  IntVec<R> entries_of(int64_t j) const { return packed ? load_ints<R>(id + j) >> shift : load_ints<R>(from + j); }
  IntVec<R> labels_of(int64_t j) const {
    const IntVec<R> label = load_ints<R>(id + j) & splat_int<R>(no_label);
    return label == splat_int<R>(no_label) ? splat_int<R>(-1) : label;
  }

  // Scores of the entries, and the largest that an extension can have before its class is counted.
  void sum_entries() {
    Vec<R> most = splat(R(kNoScore));
    for (int64_t j = 0; j < p.count; j += W) {
      const Vec<R> sum = log_add<R>(load(p.now.blank + j), load(p.now.label + j));
      store(total + j, sum);
      most = vmax(most, sum);
    }
    best_before = max_tree<R>(most);
    if (!p.rows) return;
    most = splat(R(kNoScore));
    for (int64_t j = 0; j < p.count; j += W) most = vmax(most, load(total + j) + load_row<R>(p.row_most + j));
    best_before = max_tree<R>(most);
  }

  // Candidates that are entries already, with what reaches them from their parents.
  void keep_entries() {
    const Vec<R> none = splat(R(kNoScore)), of_blank = splat(p.logits[p.blank] - denominator);
    Vec<R> reached[2] = {none, none};
    const bool few = p.count <= 2 * W;
    if (few) reach_children(reached);
    else reach_children();
    const bool short_row = kHasLookup<R> && p.classes >= W && p.classes <= 2 * W;
    Vec<R> low = none, high = none;
    if (short_row) {
      low = load(p.logits);
      if (p.classes > W) high = load_n(p.logits + W, static_cast<int>(p.classes - W));
    }
    size = 0;
    Vec<R> worst = splat(-R(kNoScore));
    for (int64_t j = 0; j < p.count; j += W) {
      const IntVec<R> last = load_entries<R>(p.last + j);
      const Vec<R> step = (short_row ? lookup(low, high, last) : gather(p.logits, last)) - denominator;
      const Vec<R> blank = vmax(none, load(total + j) + of_blank);
      const Vec<R> from_above = few ? reached[j / W] : load(arriving + j);
      const Vec<R> label = vmax(none, log_add<R>(load(p.now.label + j), from_above) + step);
      const Vec<R> sum = log_add<R>(blank, label);
      store(stay_blank + j, blank);
      store(stay_label + j, label);
      uint32_t bits = ~bits_above(splat(R(kDead)), sum) & ((1u << min_of<int64_t>(W, p.count - j)) - 1);
      compress_to(score + size, sum, bits);
      const IntVec<R> entry = lane_numbers<R>() + static_cast<Int>(j);
      compress_to(id + size, packed ? entry << shift | no_label : splat_int<R>(no_label), bits);
      if (!packed) compress_to(from + size, entry, bits);
      worst = vmin(worst, blend(LaneMask<R>::from_bits(bits), sum, worst));
      size += __builtin_popcount(bits);
    }
    threshold = size == p.width ? -max_tree<R>(-worst) : R(kDead);
    threshold = max_of(threshold, reached_by_best());
  }

  // What reaches entry i, a child, from its parent before its label is counted.
  R from_parent(int32_t i) const {
    const int32_t parent = p.parent[i], label = p.last[i];
    const R score = p.last[parent] == label ? p.now.blank[parent] : total[parent];
    const R gain = p.rows ? static_cast<R>(p.rows[parent][label]) : R(0);
    return p.logits[label] - denominator >= least ? score + gain : R(kNoScore);
  }

  void reach_children() {
    for (int64_t j = 0; j < p.count; j += W) store(arriving + j, splat(R(kNoScore)));
    for (int64_t k = 0; k < p.children; k++) arriving[p.child[k]] = from_parent(p.child[k]);
  }

  // The same in registers: numbers just written one by one are slow to read as a vector.
  void reach_children(Vec<R> (&reached)[2]) const {
    for (int64_t k = 0; k < p.children; k++) {
      const Vec<R> v = splat(from_parent(p.child[k]));
      const IntVec<R> lane = splat_int<R>(static_cast<Int>(p.child[k]));
      reached[0] = select<R>(lane_numbers<R>() == lane, v, reached[0]);
      reached[1] = select<R>(lane_numbers<R>() + static_cast<Int>(W) == lane, v, reached[1]);
    }
  }

  // A score that at least `width` candidates exceed, without looking for them: the best entry extended by so many
  // labels, of those that are the largest of their lane, counting what its row adds. (Where such an extension is an
  // entry already, that one's score is no smaller.) Two lanes more, for the blank and for the label that repeats.
  PYSEQ_NOINLINE R reached_by_best() const {
    const int64_t wanted = p.width + 2;
    if (p.count == 0 || wanted > kGroups * W || p.classes < 2 * kGroups * W) return R(kDead);
    const int64_t best = p.rows ? best_entry() : 0;
    const R of_best = p.rows ? total[best] : best_before;
    auto label = [&](int64_t c) __attribute__((always_inline)) {
      const Vec<R> x = load(p.logits + c);
      if (!p.rows) return x;
      return select<R>(x - splat(denominator) < splat(least), splat(R(kNoScore)), x + load_row<R>(p.rows[best] + c));
    };
    Vec<R> most[kGroups];
    PYSEQ_UNROLL for (int g = 0; g < kGroups; g++) most[g] = label(g * W);
    for (int64_t c = kGroups * W; c + kGroups * W <= p.classes; c += kGroups * W) {
      PYSEQ_UNROLL for (int g = 0; g < kGroups; g++) most[g] = vmax(most[g], label(c + g * W));
    }
    // no logit is above its denominator
    R high = denominator + (p.rows ? static_cast<R>(p.row_most[best]) : R(0)), low = high - R(kUsualSpread);
    const auto lanes_above = [&](R bound) {
      int64_t n = 0;
      PYSEQ_UNROLL for (int g = 0; g < kGroups; g++) n += __builtin_popcount(bits_above(most[g], splat(bound)));
      return n;
    };
    if (lanes_above(low) < wanted) return R(kDead);
    for (int step = 0; step < kSteps; step++) {
      const R middle = (low + high) * R(0.5);
      (lanes_above(middle) >= wanted ? low : high) = middle;
    }
    return !p.rows && low - denominator < least ? R(kDead) : just_below(of_best + (low - denominator));
  }
  int64_t best_entry() const {
    Vec<R> most = load(total);
    for (int64_t j = W; j < p.count; j += W) most = vmax(most, load(total + j));
    most = splat(max_tree<R>(most));
    for (int64_t j = 0; j < p.count; j += W)
      if (const uint32_t bits = bits_equal(load(total + j), most)) return j + __builtin_ctz(bits);
    return 0;
  }
  static constexpr int kGroups = 8;
  static constexpr int kSteps = 10;  // to within a seventeenth of a nat: a tighter bound lets no fewer classes through

  // Short rows are dealt with in registers.
  void group_entries() {
    if (p.rows && !(kHasLookup<R> && p.classes <= 2 * W)) groups.find(p.rows, total, p.count);
    else groups.none();
  }

  // Labels that may extend a prefix: not too improbable, and enough to bring the best of all beyond the threshold.
  void choose_classes() {
    const Vec<R> enough = splat(threshold - R(sizeof(R) == 4 ? 1e-6 : 2e-15) * max_of(R(1), max_of(threshold, -threshold)));
    const Vec<R> need = splat(max_of(threshold - best_before, just_below(least))), shift = splat(denominator);
    const Vec<R> never = splat(-static_cast<R>(__builtin_inf()));
    const IntVec<R> lanes = lane_numbers<R>();
    Vec<R> most = never;
    classes = 0;
    const auto log_probs = [&](int64_t c) __attribute__((always_inline)) {
      const auto left = static_cast<int>(min_of<int64_t>(W, p.classes - c));
      return (left == W ? load(p.logits + c) : first_n<R>(load_n(p.logits + c, left), left, never)) - shift;
    };
    for (int64_t first = 0; first < p.classes; first += kBits * W) {
      // Which vectors have such labels cannot be foretold: they are bits first.
      uint16_t chosen[kBits];
      uint64_t some = 0;
      for (int64_t i = 0, c = first; i < kBits && c < p.classes; i++, c += W) {
        const Vec<R> v = log_probs(c);
        uint32_t bits = bits_above(v, need);
        if (groups.any()) bits &= bits_above(v + groups.best_with(c), enough);
        if (p.blank - c >= 0 && p.blank - c < W) bits &= ~(1u << (p.blank - c));
        if (p.rows && !groups.any()) store(every_class + c, blend(LaneMask<R>::from_bits(bits), v, never));
        chosen[i] = static_cast<uint16_t>(bits);
        some |= static_cast<uint64_t>(bits != 0) << i;
      }
      for (; some; some &= some - 1) {
        const int i = __builtin_ctzll(some);
        const int64_t c = first + i * W;
        const Vec<R> v = log_probs(c);
        compress_to(class_score + classes, v, chosen[i]);
        compress_to(class_id + classes, lanes + static_cast<Int>(c), chosen[i]);
        classes += __builtin_popcount(chosen[i]);
        most = vmax(most, blend(LaneMask<R>::from_bits(chosen[i]), v, never));
      }
    }
    short_rows = p.rows && kHasLookup<R> && p.classes <= 2 * W;
    whole_rows = p.rows && !groups.any() &&
                 (short_rows ? classes > W : ceil_div(p.classes, W) <= kGatherCost * ceil_div(classes, W));
    best_class = max_tree<R>(most);
    store(class_score + classes, never);
    store_ints<R>(class_id + classes, IntVec<R>{});
    if (groups.any()) groups.gather_labels(class_id, classes);
  }
  static constexpr int kBits = 64;
  // A bound that x itself is above.
  static R just_below(R x) { return x - max_of(R(1), max_of(x, -x)) * (sizeof(R) == 4 ? R(1e-7) : R(2e-16)); }

  // Which lanes of the vectors of labels are no extension of an entry: they would be entries already.
  void exclude_children() {
    vectors = max_of<int64_t>(1, ceil_div(whole_rows ? p.classes : classes, W));
    for (int64_t k = 0; k < p.count * vectors; k++) excluded[k] = 0;
    for (int64_t k = 0; k < p.children; k++) {
      const int32_t child = p.child[k];
      uint16_t* const of_parent = excluded + p.parent[child] * vectors;
      if (whole_rows) {
        of_parent[p.last[child] / W] |= static_cast<uint16_t>(1 << (p.last[child] % W));
        continue;
      }
      const IntVec<R> label = splat_int<R>(static_cast<Int>(p.last[child]));
      for (int64_t v = 0; v < vectors; v++)
        of_parent[v] |= static_cast<uint16_t>(bits_equal(load_ints<R>(class_id + v * W), label));
    }
  }

  void add_extensions() {
    exclude_children();
    if (!p.rows) extend<kNoRows>();
    else if (short_rows && whole_rows) extend<kShortRows>();
    else if (short_rows) extend<kRowsInRegisters>();
    else if (groups.any()) extend<kGroupedRows>();
    else if (whole_rows) extend<kWholeRows>();
    else extend<kPartsOfRows>();
  }

  // To gather numbers of a row takes several times as long as to load as many that lie together: unless few classes are
  // left, all are tried, the others with -inf. Short rows are looked up in two registers.
  enum RowUse { kNoRows, kRowsInRegisters, kShortRows, kGroupedRows, kPartsOfRows, kWholeRows };
  static constexpr int64_t kGatherCost = 4;
  static constexpr int64_t kCutFrom = 6;  // widths: cuts cost more than candidates in vain, 4 to 8 % of the time with 3

  // Extends all entries. Which of them promise anything is asked for vectors of them, again after each cut.
  template <RowUse kRows>
  PYSEQ_INLINE void extend() {
    for (int64_t first = 0; first < p.count;) {
      const int64_t n = list_promising(first);
      first = p.count;
      for (int64_t k = 0; k < n; k++) {
        size = extend<kRows>(promising[k], size);
        if (size < kCutFrom * p.width) continue;
        cut();
        first = promising[k] + 1;
        break;
      }
    }
  }

  // Entries from `first` on that have extensions above the threshold, if their largest numbers belong to one label.
  int64_t list_promising(int64_t first) {
    const Vec<R> best = splat(best_class), bound = splat(threshold);
    int64_t n = 0;
    for (int64_t j = first / W * W; j < p.count; j += W) {
      Vec<R> most = load(total + j) + best;
      if (p.rows) most += load_row<R>(p.row_most + j);
      uint32_t bits = bits_above(most, bound) & ((1u << min_of<int64_t>(W, p.count - j)) - 1);
      if (j < first) bits &= ~0u << (first - j);
      compress_to(promising + n, lane_numbers<R>() + static_cast<Int>(j), bits);
      n += __builtin_popcount(bits);
    }
    return n;
  }

  // Adds the extensions of entry i to `n` candidates.
  template <RowUse kRows>
  PYSEQ_INLINE int64_t extend(int64_t i, int64_t n) {
    constexpr bool kWhole = kRows == kWholeRows || kRows == kShortRows;
    constexpr bool kShort = kRows == kRowsInRegisters || kRows == kShortRows;
    const Vec<R> sum = splat(total[i]), of_blank = splat(p.now.blank[i]), bound = splat(threshold);
    const IntVec<R> last = splat_int<R>(static_cast<Int>(p.last[i]));
    const IntVec<R> above = splat_int<R>(packed ? static_cast<Int>(i) << shift : Int(0));
    const uint16_t* const without = excluded + i * vectors;
    const float* const row = kRows == kNoRows ? nullptr : p.rows[i];
    const R* const gains = kRows == kGroupedRows ? groups.gains(i) : nullptr;
    const int64_t count = kRows == kRowsInRegisters ? 1 : kRows == kShortRows ? 2 : vectors;
    for (int64_t v = 0; v < count; v++) {
      const int64_t c = v * W;
      const IntVec<R> label = kWhole ? lane_numbers<R>() + static_cast<Int>(c) : load_ints<R>(class_id + c);
      Vec<R> s = load((kWhole ? every_class : class_score) + c) + select<R>(label == last, of_blank, sum);
      if (kWhole) s += load_row<R>(row + c);
      if (kRows == kRowsInRegisters) s += lookup(load_row<R>(row), load_row<R>(p.classes > W ? row + W : row), label);
      if (kRows == kGroupedRows) s += load(gains + c);
      if (kRows == kPartsOfRows) s += gather_row(row, label);
      const uint32_t bits = bits_above(s, bound) & ~static_cast<uint32_t>(without[v]);
      if (!kShort && !bits) continue;  // two vectors at most: sooner written in vain than foretold
      compress_to(score + n, s, bits);
      compress_to(id + n, label | above, bits);
      if (!packed) store_ints<R>(from + n, splat_int<R>(static_cast<Int>(i)));
      n += __builtin_popcount(bits);
    }
    return n;
  }

  // Keeps the `width` best candidates in their order, and raises the threshold to what they exceed. The cut is found
  // by bisection of the score: to count a hundred numbers above a bound takes a handful of vector comparisons.
  void cut() {
    PYSEQ_UNROLL for (int i = 0; i < 2; i++) store(score + size + i * W, splat(R(2 * kNoScore)));
    Vec<R> most = load(score);
    for (int64_t j = W; j < size; j += W) most = vmax(most, load(score + j));
    const R floor = just_below(threshold);  // what lies below is not needed: enough candidates are above or to come
    R high = max_tree<R>(most), low = floor;
    int64_t n = above(floor);
    for (R spread = R(kUsualSpread); n > p.width && high - spread > floor; spread *= 16) {
      const int64_t m = above(high - spread);
      if (m >= p.width) {
        low = high - spread, n = m;
        break;
      }
    }
    while (n > p.width) {
      const R middle = low + (high - low) * R(0.5);
      if (!(middle > low && middle < high)) break;  // no number lies between: the rest are equal
      const int64_t m = above(middle);
      if (m >= p.width) low = middle, n = m;
      else high = middle;
    }
    keep_above(low, high, n > p.width ? p.width - above(high) : size);
    threshold = max_of(threshold, low);
  }
  static constexpr double kUsualSpread = 60;  // of the scores of a beam; where they lie further apart, more counts

  int64_t above(R bound) const {
    const Vec<R> b = splat(bound);
    int64_t n = 0;
    for (int64_t j = 0; j < size; j += W) n += __builtin_popcount(bits_above(load(score + j), b));
    return n;
  }

  // Candidates above `low`; of those not above `high` the first `equal` only.
  void keep_above(R low, R high, int64_t equal) {
    const int64_t n = size;
    size = 0;
    for (int64_t j = 0; j < n; j += W) {
      const Vec<R> s = load(score + j);
      uint32_t bits = bits_above(s, splat(low));
      if (equal < n) {
        for (uint32_t at_cut = bits & ~bits_above(s, splat(high)); at_cut; at_cut &= at_cut - 1)
          if (equal-- <= 0) bits &= ~(at_cut & -at_cut);
      }
      compress_to(score + size, s, bits);
      compress_to(id + size, load_ints<R>(id + j), bits);
      if (!packed) compress_to(from + size, load_ints<R>(from + j), bits);
      size += __builtin_popcount(bits);
    }
  }

  // The new beam, relative to its best score, which is returned.
  R write_entries() {
    const Vec<R> none = splat(R(kNoScore));
    store(score + size, none);
    Vec<R> high = none;
    for (int64_t j = 0; j < size; j += W) high = vmax(high, load(score + j));
    const R most = max_tree<R>(high);
    for (int64_t j = 0; j < size; j += W) {
      store_entries<R>(p.from + j, entries_of(j));
      store_entries<R>(p.label + j, labels_of(j));
    }
    if (kHasLookup<R> && p.count <= 2 * W) write_looked_up(splat(most));
    else write_each(most);
    return most;
  }

  void write_looked_up(Vec<R> most) {
    const Vec<R> none = splat(R(kNoScore));
    const int64_t second = p.count > W ? W : 0;
    const Vec<R> blanks[] = {load(stay_blank), load(stay_blank + second)};
    const Vec<R> labels[] = {load(stay_label), load(stay_label + second)};
    const Vec<R> none_most = {};
    const Vec<R> mosts[] = {p.rows ? load_row<R>(p.row_most) : none_most,
                            p.rows ? load_row<R>(p.row_most + second) : none_most};
    for (int64_t j = 0; j < size; j += W) {
      const IntVec<R> entry = entries_of(j), left = splat_int<R>(static_cast<Int>(size - j));
      const IntVec<R> there = lane_numbers<R>() < left, kept = labels_of(j) < 0;
      const Vec<R> blank = lookup(blanks[0], blanks[1], entry) - most;
      const Vec<R> of_label = select<R>(kept, lookup(labels[0], labels[1], entry), load(score + j)) - most;
      if (p.rows) store_row<R>(p.next_row_most + j, lookup(mosts[0], mosts[1], entry));
      store(p.next.blank + j, select<R>(there & kept, vmax(none, blank), none));
      store(p.next.label + j, select<R>(there, vmax(none, of_label), none));
    }
  }

  void write_each(R most) {
    for (int64_t j = 0; j < size; j++) {
      const int32_t i = p.from[j];
      if (p.rows) p.next_row_most[j] = p.row_most[i];
      p.next.blank[j] = p.label[j] < 0 ? max_of(R(kNoScore), stay_blank[i] - most) : R(kNoScore);
      p.next.label[j] = p.label[j] < 0 ? max_of(R(kNoScore), stay_label[i] - most) : score[j] - most;
    }
    for (int64_t j = size; j < round_up(size, W); j++) p.next.blank[j] = p.next.label[j] = R(kNoScore);
  }

  const CtcBeamFrame<R>& p;
  R *total, *arriving, *stay_blank, *stay_label;  // [beam_room(width)]
  R* class_score;                             // [classes] log-probabilities of the labels that may extend
  Int* class_id;
  R* every_class;                             // [classes] the same at the places of all labels, else -inf; with rows
  uint16_t* excluded;                         // [entries][vectors] a bit for each lane
  Int* promising;                             // entries to extend
  RowGroups<R> groups;
  R* score;                                   // candidates: entries extended by a label or kept
  Int *id, *from;
  int shift = 0;
  bool packed = false;
  Int no_label = 0;                           // in the place of the label of what is kept
  int64_t size = 0, classes = 0;
  int64_t vectors = 0;  // of labels that are tried
  bool short_rows = false, whole_rows = false;
  R denominator = 0, least = 0, threshold = 0, best_before = 0, best_class = 0;
};

template <class R>
int64_t ctc_beam_workspace(const CtcBeamFrame<R>& p) noexcept {
  CtcBeamFrame<R> counted = p;
  counted.workspace = nullptr;
  int64_t bytes;
  Frame<R>(counted, &bytes);
  return bytes;
}

template <class R>
BeamFrameResult<R> ctc_beam_frame(const CtcBeamFrame<R>& p) noexcept {
  int64_t bytes;
  return Frame<R>(p, &bytes).run();
}

}  // namespace

void fill_ctc_beam(KernelTable& table) noexcept {
  table.f32.ctc_beam_workspace = ctc_beam_workspace<float>;
  table.f64.ctc_beam_workspace = ctc_beam_workspace<double>;
  table.f32.ctc_beam_frame = ctc_beam_frame<float>;
  table.f64.ctc_beam_frame = ctc_beam_frame<double>;
}

}  // namespace PYSEQ_TIER
}  // namespace pyseq
