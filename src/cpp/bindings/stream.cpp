#include "bindings/arrays.h"
#include "bindings/cells.h"
#include "stream/sampler.h"

namespace pyseq {

namespace {

constexpr int64_t kMostExact = int64_t{1} << 24;  // tokens travel as float32 numbers

template <class R>
class BoundStream {
 public:
  BoundStream(int64_t rows, int64_t inputs) : stream_(positive(rows, "rows"), positive(inputs, "inputs")) {}

  int embedding(int in, const py::array& weight) {
    const Rows<R> w = rows<R>(weight, "weight");
    if (w.count > kMostExact) reject("weight", "at most 2**24 rows");
    vocabulary_ = w.count;
    return stream_.embedding(known(in), flat<R>(weight, "weight", -1), w.count, w.width);
  }
  int convolution(int in, const py::array& weight, const MaybeArray& bias, int64_t dilation, bool brief) {
    if (weight.ndim() != 3 || weight.size() == 0) reject("weight", "(outputs, inputs, taps), none of them 0");
    if (weight.shape(1) != stream_.width(known(in))) reject("weight", "as many inputs as the frame is wide");
    if (dilation < 1) reject("dilation", "at least 1");
    return stream_.convolution(in, flat<R>(weight, "weight", -1), flat<R>(bias, "bias", weight.shape(0)), weight.shape(0),
                               weight.shape(2), dilation, brief);
  }
  int recurrent(int in, int cell, int precision, int64_t output, const py::array& weight_ih, const py::array& weight_hh,
                const py::array& bias_ih, const py::array& bias_hh, const MaybeArray& extra, const MaybeArray& zoneout_h,
                const MaybeArray& zoneout_c) {
    const CellInfo info = cell_info(cell);
    RnnProblem p{};
    p.cell = static_cast<Cell>(cell);
    p.precision = checked_precision(precision);
    p.batch = stream_.rows();
    p.input = stream_.width(known(in));
    p.output = positive(output, "output");
    p.hidden = info.projects() && weight_ih.ndim() == 2 ? weight_ih.shape(0) / info.gates : p.output;
    const RnnWeights<R> w = cell_weights<R>(info, p, weight_ih, weight_hh, bias_ih, bias_hh, extra);
    if (zoneout_c && !info.has_cell) reject("zoneout_c", "none: this cell has no cell state");
    return stream_.recurrent(in, p, w, {weight_ih.size(), weight_hh.size(), bias_ih.size(), bias_hh.size(), extra ? extra->size() : 0},
                             flat<R>(zoneout_h, "zoneout_h", p.output), flat<R>(zoneout_c, "zoneout_c", p.hidden));
  }
  int elementwise(int in, int which) {
    if (which < 0 || which > static_cast<int>(Elementwise::kSigmoid)) reject("which", "0 (relu), 1 (tanh) or 2 (sigmoid)");
    return stream_.elementwise(known(in), static_cast<Elementwise>(which));
  }
  int gate(int in) {
    if (stream_.width(known(in)) % 2) reject("in", "a frame of even width");
    return stream_.gate(in);
  }
  int add(int a, int b) {
    if (stream_.width(known(a)) != stream_.width(known(b))) reject("b", "a frame as wide as a");
    return stream_.add(a, b);
  }
  int join(int a, int b) { return stream_.join(known(a), known(b)); }
  int part(int in, int64_t first, int64_t width) {
    if (width < 1 || first < 0 || first > stream_.width(known(in)) - width) reject("first, width", "columns of the frame");
    return stream_.part(in, first, width);
  }
  int affine(int in, const py::array& offset, const py::array& scale) {
    const int64_t width = stream_.width(known(in));
    return stream_.affine(in, flat<R>(offset, "offset", width), flat<R>(scale, "scale", width));
  }
  int constant(const py::array& values) {
    const Rows<R> v = rows<R>(values, "values");
    if (v.count != stream_.rows() || v.width < 1) reject("values", "a row for each stream");
    const int frame = stream_.constant(v.width);
    for (int64_t r = 0; r < v.count; r++) std::copy(v.data + r * v.stride, v.data + r * v.stride + v.width, stream_.data(frame) + r * v.width);
    return frame;
  }
  int64_t width(int frame) const { return stream_.width(known(frame)); }
  int64_t frames() const { return stream_.frames(); }
  void reset() { stream_.reset(); }

  // (T, rows, inputs) -> (T, rows, outputs)
  py::array_t<R> push(const py::array& x, int out) {
    const int64_t inputs = stream_.width(0), outputs = stream_.width(known(out)), n = stream_.rows();
    if (x.ndim() != 3 || x.shape(1) != n || x.shape(2) != inputs) reject("x", "(frames, rows, inputs)");
    const R* from = flat<R>(x, "x", -1);
    if (vocabulary_ > 0)
      for (int64_t i = 0; i < x.size(); i++)
        if (!(from[i] >= 0 && from[i] < static_cast<R>(vocabulary_))) reject("x", "tokens of the embedding");
    const int64_t frames = x.shape(0);
    py::array_t<R> y({frames, n, outputs});
    R* to = y.mutable_data();
    without_gil([&] {
      for (int64_t t = 0; t < frames; t++) {
        std::copy(from + t * n * inputs, from + (t + 1) * n * inputs, stream_.data(0));
        stream_.step();
        std::copy(stream_.data(out), stream_.data(out) + n * outputs, to + t * n * outputs);
      }
    });
    return y;
  }
  py::array_t<int64_t> generate(const py::array& prompt, const py::array& uniforms, const py::array& stops, int logits,
                                double temperature, int64_t top_k, double top_p) {
    const int64_t n = stream_.rows();
    if (prompt.ndim() != 2 || prompt.shape(0) != n || prompt.shape(1) < 1) reject("prompt", "(rows, at least 1)");
    if (uniforms.ndim() != 2 || uniforms.shape(1) != n) reject("uniforms", "(length, rows)");
    if (!(temperature > 0) || top_k < 0 || !(top_p > 0)) reject("temperature, top_k, top_p", "positive numbers");
    Generation<R> g{};
    g.logits = known(logits);
    g.length = uniforms.shape(0);
    g.prompt_length = prompt.shape(1);
    g.n_stops = stops.size();
    g.prompt = flat<int64_t>(prompt, "prompt", -1);
    g.uniforms = flat<double>(uniforms, "uniforms", -1);
    g.stops = flat<int64_t>(stops, "stops", -1);
    if (vocabulary_ < 1 || stream_.width(logits) > vocabulary_) reject("logits", "no more classes than the embedding has tokens");
    for (int64_t i = 0; i < prompt.size(); i++)
      if (g.prompt[i] < 0 || g.prompt[i] >= vocabulary_) reject("prompt", "tokens of the embedding");
    py::array_t<int64_t> tokens({n, g.length});
    g.tokens = tokens.mutable_data();
    without_gil([&] { pyseq::generate(stream_, g, {temperature, top_k, top_p}); });
    return tokens;
  }
  py::array_t<R> generate_values(const py::array& prompt, const py::array& noise, int density, int64_t components, double least_scale,
                                 double temperature, const py::array& low, const py::array& high) {
    const int64_t n = stream_.rows(), values = stream_.width(0);
    if (prompt.ndim() != 3 || prompt.shape(0) < 1 || prompt.shape(1) != n || prompt.shape(2) != values)
      reject("prompt", "(at least 1, rows, inputs)");
    if (noise.ndim() != 3 || noise.shape(1) != n || noise.shape(2) != 1 + values) reject("noise", "(length, rows, 1 + inputs)");
    if (!(temperature > 0) || !(least_scale >= 0)) reject("temperature, least_scale", "positive numbers");
    const Mixture mixture = {positive(components, "components"), values, least_scale, flat<double>(low, "low", values),
                             flat<double>(high, "high", values)};
    for (int64_t d = 0; d < values; d++)
      if (!(mixture.low[d] <= mixture.high[d])) reject("low, high", "numbers in their order");
    if (stream_.width(known(density)) != mixture.columns()) reject("frame", "as wide as the mixture has numbers");
    const int64_t length = noise.shape(0);
    py::array_t<R> drawn({n, length, values});
    const ValueGeneration<R> g = {density,
                                  length,
                                  prompt.shape(0),
                                  flat<R>(prompt, "prompt", -1),
                                  flat<double>(noise, "noise", -1),
                                  drawn.mutable_data()};
    without_gil([&] { pyseq::generate(stream_, g, mixture, temperature); });
    return drawn;
  }

 private:
  static int64_t positive(int64_t n, const char* name) {
    if (n < 1 || n > int64_t{1} << 40) reject(name, "a positive number");
    return n;
  }
  int known(int frame) const {
    if (frame < 0 || frame > stream_.last()) reject("frame", "one that a stage has written");
    return frame;
  }
  Stream<R> stream_;
  int64_t vocabulary_ = 0;
};

template <class R>
void bind(py::module_& m, const char* name) {
  using S = BoundStream<R>;
  py::class_<S>(m, name)
      .def(py::init<int64_t, int64_t>(), py::arg("rows"), py::arg("inputs"))
      .def("embedding", &S::embedding, py::arg("frame"), py::arg("weight"))
      .def("convolution", &S::convolution, py::arg("frame"), py::arg("weight"), py::arg("bias"), py::arg("dilation"), py::arg("brief"))
      .def("recurrent", &S::recurrent, py::arg("frame"), py::arg("cell"), py::arg("precision"), py::arg("output"), py::arg("weight_ih"),
           py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"), py::arg("extra"), py::arg("zoneout_h"), py::arg("zoneout_c"))
      .def("elementwise", &S::elementwise, py::arg("frame"), py::arg("which"))
      .def("gate", &S::gate, py::arg("frame"))
      .def("add", &S::add, py::arg("a"), py::arg("b"))
      .def("join", &S::join, py::arg("a"), py::arg("b"))
      .def("part", &S::part, py::arg("frame"), py::arg("first"), py::arg("width"))
      .def("affine", &S::affine, py::arg("frame"), py::arg("offset"), py::arg("scale"))
      .def("constant", &S::constant, py::arg("values"))
      .def("width", &S::width, py::arg("frame"))
      .def("frames", &S::frames)
      .def("reset", &S::reset)
      .def("push", &S::push, py::arg("x"), py::arg("frame"))
      .def("generate", &S::generate, py::arg("prompt"), py::arg("uniforms"), py::arg("stops"), py::arg("frame"),
           py::arg("temperature"), py::arg("top_k"), py::arg("top_p"))
      .def("generate_values", &S::generate_values, py::arg("prompt"), py::arg("noise"), py::arg("frame"), py::arg("components"),
           py::arg("least_scale"), py::arg("temperature"), py::arg("low"), py::arg("high"));
}

}  // namespace

void register_stream(py::module_& m) {
  bind<float>(m, "Stream32");
  bind<double>(m, "Stream64");
}

}  // namespace pyseq
