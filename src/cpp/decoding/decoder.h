// Beam search over batches: searches kept for reuse, threads over sequences.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "decoding/search.h"

namespace pyseq {

// Frame t of sequence b is row start[b] + t of logits; it is not read beyond lengths[b].
template <class R>
struct LogitBatch {
  const R* logits;
  int64_t stride, batch;
  const int64_t* start;
  const int64_t* lengths;
};

class BeamDecoder {
 public:
  BeamDecoder(const SearchSettings& settings, Scoring scoring)
      : settings_(settings), scoring_(std::move(scoring)) {}

  // The n best readings of each sequence. The same for any number of threads.
  template <class R>
  std::vector<std::vector<Reading>> decode(const LogitBatch<R>& batch, int64_t n);

  template <class R>
  std::unique_ptr<Search<R>> take();
  template <class R>
  void give(std::unique_ptr<Search<R>> search);

  const SearchSettings& settings() const { return settings_; }

 private:
  template <class R>
  std::vector<std::unique_ptr<Search<R>>>& pool();

  SearchSettings settings_;
  Scoring scoring_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Search<float>>> singles_;
  std::vector<std::unique_ptr<Search<double>>> doubles_;
};

}  // namespace pyseq
