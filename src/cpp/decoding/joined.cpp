#include "decoding/joined.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "decoding/state_rows.h"

namespace pyseq {

namespace {

using Parts = std::array<SourceState, kMostSources>;  // those beyond the last are zero

struct HashOfParts {
  std::size_t operator()(const Parts& parts) const {
    uint64_t hash = 0;
    for (const SourceState& part : parts) {
      uint64_t bits;
      std::memcpy(&bits, &part, sizeof bits);
      hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 32;
    }
    return static_cast<std::size_t>(hash);
  }
};
struct SameParts {
  bool operator()(const Parts& a, const Parts& b) const { return std::memcmp(&a, &b, sizeof a) == 0; }
};

class JoinedReader final : public StateRowsReader {
 public:
  JoinedReader(std::vector<std::unique_ptr<SourceReader>> readers, int64_t classes, int64_t blank, int64_t width)
      : StateRowsReader(StateRows(classes, blank, std::max(StateRows::rows_of(kMostBytes, classes), kWidths * width))),
        readers_(std::move(readers)) {}

  SourceState start() override {
    Parts parts{};
    for (std::size_t k = 0; k < readers_.size(); k++) parts[k] = readers_[k]->start();
    return at(parts);
  }
  float finish(SourceState state) override {
    const Parts parts = parts_of(state);
    float sum = 0;
    for (std::size_t k = 0; k < readers_.size(); k++) sum += readers_[k]->finish(parts[k]);
    return sum;
  }
  bool crowded() const override {
    return rows_.full() ||
           std::any_of(readers_.begin(), readers_.end(), [](const auto& reader) { return reader->crowded(); });
  }
  void forget(std::vector<SourceState>& states) override {
    std::vector<Parts> held;
    for (const SourceState state : states) held.push_back(parts_of(state));
    std::vector<SourceState> column(states.size());
    for (std::size_t k = 0; k < readers_.size(); k++) {
      for (std::size_t i = 0; i < held.size(); i++) column[i] = held[i][k];
      readers_[k]->forget(column);
      for (std::size_t i = 0; i < held.size(); i++) held[i][k] = column[i];
    }
    rows_.clear();
    parts_.clear();
    place_.clear();
    for (std::size_t i = 0; i < held.size(); i++) states[i] = at(held[i]);
  }

 private:
  static constexpr int64_t kMostBytes = 16 << 20, kWidths = 8;

  const Parts& parts_of(SourceState state) const { return parts_[static_cast<std::size_t>(rows_.place_of(state.row))]; }

  SourceState follow(SourceState state, int32_t label) override {
    Parts parts = parts_of(state);
    for (std::size_t k = 0; k < readers_.size(); k++) parts[k] = readers_[k]->next(parts[k], label);
    return at(parts);
  }
  SourceState at(const Parts& parts) {
    SourceState found;
    const auto known = place_.find(parts);
    found.row = known != place_.end() ? rows_[known->second] : make(parts);
    return found;
  }
  const float* make(const Parts& parts) {
    float* const sum = rows_.add();
    for (std::size_t k = 0; k < readers_.size(); k++) {
      const float* const row = readers_[k]->row(parts[k]);
      for (int64_t c = 0; c < rows_.stride(); c++) sum[c] += row[c];
    }
    rows_.finish(sum);
    parts_.push_back(parts);
    place_.emplace(parts, rows_.size() - 1);
    return sum;
  }

  std::vector<std::unique_ptr<SourceReader>> readers_;
  std::vector<Parts> parts_;  // of each row
  std::unordered_map<Parts, int32_t, HashOfParts, SameParts> place_;
};

}  // namespace

std::unique_ptr<SourceReader> joined_reader(std::vector<std::unique_ptr<SourceReader>> parts, int64_t classes,
                                            int64_t blank, int64_t width) {
  return std::make_unique<JoinedReader>(std::move(parts), classes, blank, width);
}

}  // namespace pyseq
