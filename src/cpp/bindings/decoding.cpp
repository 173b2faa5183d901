#include <memory>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "decoding/decoder.h"

namespace pyseq {

namespace {

SearchSettings settings(int64_t classes, int64_t blank, int64_t width, double least, bool alignments) {
  if (classes < 1 || classes > (int64_t{1} << 30)) reject("classes", "a positive number");
  if (blank < 0 || blank >= classes) reject("blank", "a class");
  if (width < 1 || width > (int64_t{1} << 24)) reject("width", "a positive number");
  return {classes, blank, width, least, alignments};
}

template <class R>
Rows<R> class_rows(const py::array& logits, const SearchSettings& s) {
  const Rows<R> x = rows<R>(logits, "logits");
  if (x.width != s.classes) reject("logits", "a column for each class");
  return x;
}

// Readings as arrays: labels, first frames, frames after the last and log-probabilities of the runs of all, one after
// the other; how many labels each has; scores; how many readings each sequence has.
py::tuple as_arrays(const std::vector<std::vector<Reading>>& readings, bool alignments) {
  int64_t labels = 0, count = 0;
  for (const auto& sequence : readings) {
    count += static_cast<int64_t>(sequence.size());
    for (const Reading& reading : sequence) labels += static_cast<int64_t>(reading.labels.size());
  }
  const int64_t runs = alignments ? labels : 0;
  py::array_t<int64_t> flat_labels(labels), begins(runs), ends(runs), sizes(count), counts(readings.size());
  py::array_t<double> scores(count);
  py::array_t<float> log_probs(runs);
  int64_t l = 0, r = 0, k = 0, b = 0;
  for (const auto& sequence : readings) {
    counts.mutable_at(b++) = static_cast<int64_t>(sequence.size());
    for (const Reading& reading : sequence) {
      sizes.mutable_at(k) = static_cast<int64_t>(reading.labels.size());
      scores.mutable_at(k++) = reading.score;
      for (const int32_t label : reading.labels) flat_labels.mutable_data()[l++] = label;
      for (const Run& run : reading.runs) {
        begins.mutable_data()[r] = run.begin;
        ends.mutable_data()[r] = run.end;
        log_probs.mutable_data()[r++] = run.log_prob;
      }
    }
  }
  return py::make_tuple(flat_labels, begins, ends, log_probs, sizes, scores, counts);
}

py::tuple decode(BeamDecoder& decoder, const py::array& logits, const py::array& start, const py::array& lengths,
                 int64_t n) {
  if (n < 1) reject("n", "a positive number");
  return by_dtype(logits, "logits", [&](auto zero) {
    using R = decltype(zero);
    const Rows<R> x = class_rows<R>(logits, decoder.settings());
    LogitBatch<R> batch{x.data, x.stride, lengths.size(), nullptr, flat<int64_t>(lengths, "lengths", -1)};
    batch.start = flat<int64_t>(start, "start", batch.batch);
    check_frames(batch.start, batch.lengths, batch.batch, x.count, "logits");
    std::vector<std::vector<Reading>> readings;
    without_gil([&] { readings = decoder.decode(batch, n); });
    return as_arrays(readings, decoder.settings().alignments);
  });
}

// The search of one stream. Not for several threads at once.
template <class R>
class Stream {
 public:
  explicit Stream(std::shared_ptr<BeamDecoder> decoder)
      : decoder_(std::move(decoder)), search_(decoder_->take<R>()) {
    search_->start();
  }
  ~Stream() {
    if (search_) decoder_->give(std::move(search_));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void push(const py::array& logits) {
    const Rows<R> x = class_rows<R>(logits, decoder_->settings());
    without_gil([&] { search_->push(x.data, x.count, x.stride); });
  }
  py::tuple best(int64_t n, bool finished) {
    if (n < 1) reject("n", "a positive number");
    return as_arrays({search_->best(n, finished)}, decoder_->settings().alignments);
  }
  // Slot, slot of the prefix it extends (-1: none) and label of each entry that needs a row.
  py::array entered() const {
    const auto& found = search_->entered();
    py::array_t<int32_t> array({static_cast<py::ssize_t>(found.size()), py::ssize_t{3}});
    for (std::size_t i = 0; i < found.size(); i++) {
      int32_t* row = array.mutable_data() + 3 * i;
      row[0] = found[i].slot, row[1] = found[i].from_slot, row[2] = found[i].label;
    }
    return array;
  }
  void add_rows(const py::array& slots, const py::array& scores) {
    const auto* slot = flat<int32_t>(slots, "slots", -1);
    const Rows<float> x = rows<float>(scores, "scores");
    if (x.count != slots.size() || x.width != decoder_->settings().classes) reject("scores", "a row for each slot");
    for (int64_t i = 0; i < x.count; i++) {
      if (slot[i] < 0 || slot[i] >= 2 * decoder_->settings().width) reject("slots", "slots of entries");
      search_->add_row(slot[i], x.data + i * x.stride);
    }
  }
  std::vector<int32_t> slots() const { return search_->slots(); }
  void add_finish(const py::array& scores) {
    search_->add_finish(flat<float>(scores, "scores", static_cast<int64_t>(search_->slots().size())));
  }

 private:
  std::shared_ptr<BeamDecoder> decoder_;
  std::unique_ptr<Search<R>> search_;
};

template <class R>
void register_stream(py::module_& m, const char* name) {
  py::class_<Stream<R>>(m, name)
      .def(py::init<std::shared_ptr<BeamDecoder>>(), py::arg("decoder"))
      .def("push", &Stream<R>::push, py::arg("logits"))
      .def("best", &Stream<R>::best, py::arg("n"), py::arg("finished"))
      .def("entered", &Stream<R>::entered)
      .def("add_rows", &Stream<R>::add_rows, py::arg("slots"), py::arg("scores"))
      .def("slots", &Stream<R>::slots)
      .def("add_finish", &Stream<R>::add_finish, py::arg("scores"));
}

}  // namespace

void register_decoding(py::module_& m) {
  py::class_<Source, std::shared_ptr<Source>>(m, "Source");
  py::class_<BeamDecoder, std::shared_ptr<BeamDecoder>>(m, "BeamDecoder")
      .def(py::init([](int64_t classes, int64_t blank, int64_t width, double least, bool alignments,
                       const std::vector<std::shared_ptr<Source>>& sources, bool external) {
             if (sources.size() > static_cast<std::size_t>(kMostSources)) reject("sources", "at most three");
             Scoring scoring;
             scoring.sources.assign(sources.begin(), sources.end());
             scoring.external = external;
             return std::make_shared<BeamDecoder>(settings(classes, blank, width, least, alignments), scoring);
           }),
           py::arg("classes"), py::arg("blank"), py::arg("width"), py::arg("least"), py::arg("alignments"),
           py::arg("sources"), py::arg("external"))
      .def("decode", &decode, py::arg("logits"), py::arg("start"), py::arg("lengths"), py::arg("n"));
  register_stream<float>(m, "BeamStream32");
  register_stream<double>(m, "BeamStream64");
}

}  // namespace pyseq
