#include "decoding/decoder.h"

#include <algorithm>
#include <exception>

#include "runtime/parallel.h"

namespace pyseq {

namespace {

constexpr std::size_t kMostPooled = 64;
// A frame costs half a microsecond and as much again for 32 prefixes, in operations as threads are counted by.
constexpr double kFrameOperations = 75e3, kEntryOperations = 5e3;

template <class R>
struct Work {
  BeamDecoder& decoder;
  const LogitBatch<R>& batch;
  int64_t n, next;
  std::vector<std::vector<Reading>>& readings;
  std::mutex mutex;
  std::exception_ptr error;
};

template <class R>
void decode_some(Work<R>& work) {
  std::unique_ptr<Search<R>> search = work.decoder.template take<R>();
  for (;;) {
    const int64_t b = __atomic_fetch_add(&work.next, 1, __ATOMIC_RELAXED);
    if (b >= work.batch.batch) break;
    search->start();
    search->push(work.batch.logits + work.batch.start[b] * work.batch.stride, work.batch.lengths[b], work.batch.stride);
    work.readings[static_cast<std::size_t>(b)] = search->best(work.n, true);
  }
  work.decoder.give(std::move(search));
}

template <class R>
void thread_body(void* context, int, int) {
  auto& work = *static_cast<Work<R>*>(context);
  try {
    decode_some(work);
  } catch (...) {  // no exception may leave a region of threads
    const std::lock_guard<std::mutex> lock(work.mutex);
    work.error = std::current_exception();
  }
}

}  // namespace

template <>
std::vector<std::unique_ptr<Search<float>>>& BeamDecoder::pool<float>() { return singles_; }
template <>
std::vector<std::unique_ptr<Search<double>>>& BeamDecoder::pool<double>() { return doubles_; }

template <class R>
std::unique_ptr<Search<R>> BeamDecoder::take() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& kept = pool<R>();
    if (!kept.empty()) {
      std::unique_ptr<Search<R>> search = std::move(kept.back());
      kept.pop_back();
      return search;
    }
  }
  return std::make_unique<Search<R>>(settings_, scoring_);
}

template <class R>
void BeamDecoder::give(std::unique_ptr<Search<R>> search) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pool<R>().size() < kMostPooled) pool<R>().push_back(std::move(search));
}

template <class R>
std::vector<std::vector<Reading>> BeamDecoder::decode(const LogitBatch<R>& batch, int64_t n) {
  std::vector<std::vector<Reading>> readings(static_cast<std::size_t>(batch.batch));
  double frames = 0;
  for (int64_t b = 0; b < batch.batch; b++) frames += static_cast<double>(batch.lengths[b]);
  const double operations = frames * (kFrameOperations + kEntryOperations * static_cast<double>(settings_.width));
  const auto most = static_cast<int>(std::min<int64_t>(batch.batch, 1 << 20));
  Work<R> work{*this, batch, n, 0, readings, {}, nullptr};
  run_parallel(std::max(1, std::min(threads_for(crew_now(), operations), most)), thread_body<R>, &work);
  if (work.error) std::rethrow_exception(work.error);
  return readings;
}

template std::vector<std::vector<Reading>> BeamDecoder::decode(const LogitBatch<float>&, int64_t);
template std::vector<std::vector<Reading>> BeamDecoder::decode(const LogitBatch<double>&, int64_t);
template std::unique_ptr<Search<float>> BeamDecoder::take<float>();
template std::unique_ptr<Search<double>> BeamDecoder::take<double>();
template void BeamDecoder::give(std::unique_ptr<Search<float>>);
template void BeamDecoder::give(std::unique_ptr<Search<double>>);

}  // namespace pyseq
