#include "stream/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/dispatch.h"

namespace pyseq {

template <class R>
Sampler<R>::Sampler(int64_t classes, const Sampling& sampling)
    : sampling_(sampling), classes_(classes), weights_(classes), order_(static_cast<std::size_t>(classes)) {}

template <class R>
int64_t Sampler<R>::draw(const R* logits, double u) {
  R* weights = weights_.data();
  const R most = *std::max_element(logits, logits + classes_), scale = static_cast<R>(1 / sampling_.temperature);
  for (int64_t c = 0; c < classes_; c++) weights[c] = (logits[c] - most) * scale;
  kernels<R>().activation(::pyseq::Activation::kExp, weights, weights, classes_);
  std::iota(order_.begin(), order_.end(), int64_t{0});
  int64_t kept = classes_;
  if (sampling_.top_k > 0 || sampling_.top_p < 1) {
    if (sampling_.top_k > 0) kept = std::min(kept, sampling_.top_k);
    const auto ranks_before = [logits](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
    std::partial_sort(order_.begin(), order_.begin() + kept, order_.end(), ranks_before);
  }
  double total = 0;
  for (int64_t i = 0; i < kept; i++) total += static_cast<double>(weights[order_[static_cast<std::size_t>(i)]]);
  if (sampling_.top_p < 1) {
    const double wanted = sampling_.top_p * total;
    double sum = 0;
    int64_t i = 0;
    do sum += static_cast<double>(weights[order_[static_cast<std::size_t>(i++)]]);
    while (sum < wanted && i < kept);
    kept = i;
    total = sum;
  }
  const double wanted = u * total;
  double sum = 0;
  for (int64_t i = 0; i < kept; i++) {
    sum += static_cast<double>(weights[order_[static_cast<std::size_t>(i)]]);
    if (wanted < sum) return order_[static_cast<std::size_t>(i)];
  }
  return order_[static_cast<std::size_t>(kept - 1)];
}

template <class R>
int64_t generate(Stream<R>& stream, const Generation<R>& g, const Sampling& sampling) {
  const int64_t rows = stream.rows(), width = stream.width(0), classes = stream.width(g.logits);
  Sampler<R> sampler(classes, sampling);
  R* input = stream.data(0);
  std::vector<bool> done(static_cast<std::size_t>(rows));
  int64_t left = rows, steps = 0;
  for (int64_t i = 0; i < g.prompt_length; i++) {
    for (int64_t r = 0; r < rows; r++) input[r * width] = static_cast<R>(g.prompt[r * g.prompt_length + i]);
    stream.step();
  }
  std::fill(g.tokens, g.tokens + rows * g.length, int64_t{-1});
  for (int64_t i = 0; i < g.length && left > 0; i++, steps++) {
    if (i > 0) stream.step();
    for (int64_t r = 0; r < rows; r++) {
      if (done[static_cast<std::size_t>(r)]) continue;
      const int64_t token = sampler.draw(stream.data(g.logits) + r * classes, g.uniforms[i * rows + r]);
      g.tokens[r * g.length + i] = token;
      input[r * width] = static_cast<R>(token);
      if (std::find(g.stops, g.stops + g.n_stops, token) == g.stops + g.n_stops) continue;
      done[static_cast<std::size_t>(r)] = true;
      left--;
    }
  }
  return steps;
}

template <class R>
void generate(Stream<R>& stream, const ValueGeneration<R>& g, const Mixture& mixture, double temperature) {
  const int64_t rows = stream.rows(), width = stream.width(0), n = mixture.values, k = mixture.components;
  Sampler<R> sampler(k, {temperature, 0, 1});
  const double spread = std::sqrt(temperature);
  R* input = stream.data(0);
  for (int64_t i = 0; i < g.prompt_length; i++) {
    for (int64_t r = 0; r < rows; r++) std::copy_n(g.prompt + (i * rows + r) * n, n, input + r * width);
    stream.step();
  }
  for (int64_t i = 0; i < g.length; i++) {
    if (i > 0) stream.step();
    for (int64_t r = 0; r < rows; r++) {
      const R* columns = stream.data(g.density) + r * mixture.columns();
      const double* noise = g.noise + (i * rows + r) * (1 + n);
      const int64_t chosen = k > 1 ? sampler.draw(columns, noise[0]) : 0;
      const R* mean = columns + (k > 1 ? k : 0) + chosen * n;
      const R* log_scale = mean + k * n;
      R* drawn = g.drawn + (r * g.length + i) * n;
      for (int64_t d = 0; d < n; d++) {
        const double scale = std::exp(static_cast<double>(log_scale[d])) + mixture.least_scale;
        const double x = static_cast<double>(mean[d]) + scale * spread * noise[1 + d];
        drawn[d] = static_cast<R>(std::clamp(x, mixture.low[d], mixture.high[d]));
      }
      std::copy_n(drawn, n, input + r * width);
    }
  }
}

template class Sampler<float>;
template class Sampler<double>;
template int64_t generate(Stream<float>&, const Generation<float>&, const Sampling&);
template int64_t generate(Stream<double>&, const Generation<double>&, const Sampling&);
template void generate(Stream<float>&, const ValueGeneration<float>&, const Mixture&, double);
template void generate(Stream<double>&, const ValueGeneration<double>&, const Mixture&, double);

}  // namespace pyseq
