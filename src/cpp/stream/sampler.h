// Drawing classes from logits, numbers from densities, and whole sequences from a network that reads what it drew.
#pragma once

#include <cstdint>
#include <vector>

#include "stream/stages.h"

namespace pyseq {

// Which of the softmax of logits / temperature may be drawn.
struct Sampling {
  double temperature;  // > 0
  int64_t top_k;       // the most probable so many; 0: all
  double top_p;        // the fewest most probable that hold this much of the probability; 1: all
};

// Draws by inversion: the class in whose share of [0, 1) the number u falls. Equal logits are ranked by class.
template <class R>
class Sampler {
 public:
  Sampler(int64_t classes, const Sampling& sampling);
  int64_t draw(const R* logits, double u);

 private:
  Sampling sampling_;
  int64_t classes_;
  Numbers<R> weights_;
  std::vector<int64_t> order_;
};

// Feeds each row its prompt, then draws `length` tokens, each the next one's input. A row that has drawn a token of
// `stops` is done; its remaining places hold -1.
template <class R>
struct Generation {
  int logits;               // frame of the stream
  int64_t length, prompt_length, n_stops;
  const int64_t* prompt;    // [rows][prompt_length], at least one token each
  const double* uniforms;   // [length][rows] in [0, 1)
  const int64_t* stops;     // [n_stops]
  int64_t* tokens;          // [rows][length]
};
// The number of steps made after the prompt.
template <class R>
int64_t generate(Stream<R>& stream, const Generation<R>& g, const Sampling& sampling);

// What a frame says of the next `values` numbers: a mixture of Gaussians,
//
//   p(x) = sum_k softmax(a)_k prod_d N(x_d; m_kd, (exp(u_kd) + least_scale)^2)              (Bishop 1994)
//
// Its columns are a [components], but none if there is one component, m [components][values], u [components][values].
struct Mixture {
  int64_t components, values;
  double least_scale;
  const double *low, *high;  // [values]: numbers beyond count as these
  int64_t columns() const { return (components > 1 ? components : 0) + 2 * components * values; }
};

// Feeds each row its prompt, then draws `length` times `values` numbers, each draw the next input.
template <class R>
struct ValueGeneration {
  int density;                     // frame of the stream, of mixture.columns()
  int64_t length, prompt_length;
  const R* prompt;                 // [prompt_length][rows][values], at least one frame
  const double* noise;             // [length][rows][1 + values]: uniform in [0, 1), then standard normal
  R* drawn;                        // [rows][length][values]
};
// a / temperature are the logits, temperature the factor of variances.
template <class R>
void generate(Stream<R>& stream, const ValueGeneration<R>& g, const Mixture& mixture, double temperature);

}  // namespace pyseq
