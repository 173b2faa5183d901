// Language models, lexica and hot words: from arrays and bytes to sources of a beam search.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "decoding/arpa.h"
#include "decoding/automaton.h"
#include "decoding/words.h"

namespace pyseq {

namespace {

using SourceHandle = std::shared_ptr<Source>;

template <class T>
py::array_t<T> copied(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}
template <class T>
std::vector<T> taken(const py::array& values, const char* name, int64_t size) {
  const T* data = flat<T>(values, name, size);
  return std::vector<T>(data, data + values.size());
}

// All of a model, to be saved: sizes and numbers of <s>, </s> and <unk>; log10 p of unknown words; its arrays.
py::tuple state_of(const NgramModel& m) {
  return py::make_tuple(py::make_tuple(m.order, m.words, m.begin_word, m.end_word, m.unknown_word), m.unknown,
                        copied(m.word), copied(m.log10), copied(m.backoff), copied(m.begin), copied(m.suffix));
}

// Arrays that come from a file are looked at: nothing in them may lead out of them, or in circles.
std::shared_ptr<NgramModel> model_from(const std::vector<int32_t>& sizes, float unknown, const py::array& word,
                                       const py::array& log10, const py::array& backoff, const py::array& begin,
                                       const py::array& suffix) {
  if (sizes.size() != 5 || word.size() < 1) reject("sizes", "five numbers, and at least one node");
  auto m = std::make_shared<NgramModel>();
  m->order = sizes[0], m->words = sizes[1];
  m->begin_word = sizes[2], m->end_word = sizes[3], m->unknown_word = sizes[4];
  m->unknown = unknown;
  const int64_t n = word.size();
  m->word = taken<int32_t>(word, "word", n);
  m->log10 = taken<float>(log10, "log10", n);
  m->backoff = taken<float>(backoff, "backoff", n);
  m->begin = taken<int32_t>(begin, "begin", n + 1);
  m->suffix = taken<int32_t>(suffix, "suffix", n);
  for (const int32_t special : {m->begin_word, m->end_word, m->unknown_word})
    if (special < -1 || special >= m->words) reject("sizes", "numbers of words");
  bool sound = m->words >= 0 && m->suffix[0] == 0 && m->begin[0] == 1 && m->begin.back() == n;
  for (int64_t i = 0; sound && i < n; i++) {
    const auto k = static_cast<std::size_t>(i);
    sound = m->begin[k] > i && m->begin[k] <= m->begin[k + 1] && m->suffix[k] >= 0 && m->suffix[k] <= (i ? i - 1 : 0) &&
            (i == 0 || (m->word[k] >= 0 && m->word[k] < m->words)) && m->log10[k] == m->log10[k] &&
            m->backoff[k] == m->backoff[k];
  }
  if (!sound) reject("arrays", "those of a model");
  return m;
}

LabelSequences sequences(const py::array& labels, const py::array& lengths, int64_t classes) {
  const LabelSequences s{flat<int32_t>(labels, "labels", -1), flat<int64_t>(lengths, "lengths", -1), lengths.size()};
  int64_t total = 0;
  for (int64_t i = 0; i < s.count; i++) {
    if (s.lengths[i] < 1 || s.lengths[i] > labels.size() - total) reject("lengths", "positive numbers that add up");
    total += s.lengths[i];
  }
  if (total != labels.size()) reject("lengths", "as many labels as there are");
  for (int64_t i = 0; i < total; i++)
    if (s.labels[i] < 0 || s.labels[i] >= classes) reject("labels", "classes");
  return s;
}

SourceHandle lexicon(const py::array& labels, const py::array& lengths, int64_t classes, int32_t delimiter) {
  if (delimiter >= classes) reject("delimiter", "a class");
  auto made = std::make_shared<Automaton>(lexicon_automaton(sequences(labels, lengths, classes), delimiter));
  return std::make_shared<AutomatonSource>(std::move(made), 1.0f, 0.0f);
}

SourceHandle hot_words(const py::array& labels, const py::array& lengths, const py::array& boosts, int64_t classes,
                       int32_t delimiter) {
  if (delimiter >= classes) reject("delimiter", "a class");
  const LabelSequences words = sequences(labels, lengths, classes);
  const float* const boost = flat<float>(boosts, "boosts", words.count);
  auto made = std::make_shared<Automaton>(hot_word_automaton(words, boost, delimiter));
  return std::make_shared<AutomatonSource>(std::move(made), 1.0f, 0.0f);
}

std::shared_ptr<Automaton> tokens(const NgramModel& model, const py::array& word_of, int64_t blank) {
  const auto* words = flat<int32_t>(word_of, "word_of", -1);
  for (int64_t c = 0; c < word_of.size(); c++)
    if (words[c] < -1 || words[c] >= model.words) reject("word_of", "numbers of words");
  const int64_t classes = word_of.size();
  std::shared_ptr<Automaton> made;
  without_gil([&] { made = std::make_shared<Automaton>(token_automaton(model, words, classes, blank)); });
  return made;
}

// scale * ln p + bonus.
SourceHandle automaton_source(std::shared_ptr<Automaton> automaton, double scale, double bonus) {
  const auto weight = static_cast<float>(scale * kLn10);
  return std::make_shared<AutomatonSource>(std::move(automaton), weight, static_cast<float>(bonus));
}
SourceHandle word_source(std::shared_ptr<NgramModel> model, std::shared_ptr<Spelling> spelling,
                         std::vector<std::string> spelled, int32_t delimiter, double scale, double bonus) {
  if (delimiter < 0 || delimiter >= static_cast<int64_t>(spelled.size())) reject("delimiter", "a class");
  return std::make_shared<WordSource>(std::move(model), std::move(spelling), std::move(spelled), delimiter,
                                      static_cast<float>(scale), static_cast<float>(bonus));
}

// f() without the GIL. Messages quote the file, which may hold bytes that are no UTF-8.
template <class F>
void reading(F&& f) {
  try {
    without_gil(f);
  } catch (const ArpaError& error) {
    const std::string what = error.what();
    const auto text = py::reinterpret_steal<py::object>(
        PyUnicode_DecodeUTF8(what.data(), static_cast<py::ssize_t>(what.size()), "backslashreplace"));
    PyErr_SetObject(PyExc_ValueError, text.ptr());
    throw py::error_already_set();
  }
}

void feed(ArpaReader& reader, const py::bytes& text) {
  char* data;
  py::ssize_t size;
  if (PyBytes_AsStringAndSize(text.ptr(), &data, &size) != 0) throw py::error_already_set();
  reading([&] { reader.feed(data, static_cast<std::size_t>(size)); });
}

std::pair<float, int32_t> score(const NgramModel& model, int32_t state, int32_t word) {
  if (state < 0 || state >= model.nodes()) reject("state", "a state of the model");
  const NgramModel::Scored scored = model.score(state, word);
  return {scored.log10, scored.state};
}

}  // namespace

void register_language(py::module_& m) {
  py::class_<NgramModel, std::shared_ptr<NgramModel>>(m, "NgramModel")
      .def(py::init(&model_from), py::arg("sizes"), py::arg("unknown"), py::arg("word"), py::arg("log10"),
           py::arg("backoff"), py::arg("begin"), py::arg("suffix"))
      .def("state", &state_of)
      .def("start", &NgramModel::start)
      .def("score", &score, py::arg("state"), py::arg("word"))
      .def_readonly("order", &NgramModel::order)
      .def_readwrite("unknown", &NgramModel::unknown)
      .def_property_readonly("n_ngrams", [](const NgramModel& model) { return model.nodes() - 1; });
  py::class_<ArpaReader>(m, "ArpaReader")
      .def(py::init<>())
      .def("feed", &feed, py::arg("text"))
      .def("finish", [](ArpaReader& reader) {
        std::shared_ptr<NgramModel> model;
        reading([&] { model = reader.finish(); });
        return py::make_tuple(model, py::bytes(reader.words().text()), copied(reader.words().ends()));
      })
      .def_property_readonly("line", &ArpaReader::line);
  py::class_<Automaton, std::shared_ptr<Automaton>>(m, "Automaton")
      .def_property_readonly("n_states", &Automaton::states);
  py::class_<Spelling, std::shared_ptr<Spelling>>(m, "Spelling")
      .def(py::init([](const std::string& text, const py::array& ends) {
             const auto stops = taken<int64_t>(ends, "ends", -1);
             int64_t before = 0;
             for (const int64_t stop : stops) {
               if (stop < before || stop > static_cast<int64_t>(text.size())) reject("ends", "places in the text");
               before = stop;
             }
             return std::make_shared<Spelling>(text, stops);
           }),
           py::arg("text"), py::arg("ends"));
  m.def("token_automaton", &tokens, py::arg("model"), py::arg("word_of"), py::arg("blank"));
  m.def("automaton_source", &automaton_source, py::arg("automaton"), py::arg("scale"), py::arg("bonus"));
  m.def("word_source", &word_source, py::arg("model"), py::arg("spelling"), py::arg("spelled"), py::arg("delimiter"),
        py::arg("scale"), py::arg("bonus"));
  m.def("lexicon_source", &lexicon, py::arg("labels"), py::arg("lengths"), py::arg("classes"), py::arg("delimiter"));
  m.def("hot_word_source", &hot_words, py::arg("labels"), py::arg("lengths"), py::arg("boosts"), py::arg("classes"),
        py::arg("delimiter"));
}

}  // namespace pyseq
