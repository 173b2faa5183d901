// Dense and embedding products, and steps of optimizers.
#pragma once

#include "kernels/conventions.h"

namespace pyseq {

//   y = x W^T + b
template <class R>
struct Dense {
  int64_t rows, inputs, outputs;
  const R* x;       // [rows][inputs], row stride x_stride
  int64_t x_stride;
  const R* weight;  // [outputs][inputs]
  const R* bias;    // [outputs], may be null
  R* y;             // forward: [rows][outputs]
  int64_t y_stride;
  const R* grad_y;  // backward: [rows][outputs]
  int64_t grad_y_stride;
  R* grad_x;        // backward, may be null: not wanted; row stride `inputs`
  R* grad_weight;   // backward, overwritten
  R* grad_bias;     // backward, overwritten, may be null
  void* workspace;
  Crew crew;
};

template <class R>
struct Embedding {
  int64_t rows, vocabulary, dim;
  const int64_t* tokens;  // [rows], each in [0, vocabulary)
  const R* weight;        // forward: [vocabulary][dim]
  R* y;                   // forward: [rows][dim]
  const R* grad_y;        // backward: [rows][dim]
  R* grad_weight;         // backward: [vocabulary][dim], overwritten
};

// One step over flat arrays; g = scale * grad (+ weight_decay * param unless decoupled).
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   param -= lr * (m / correction1) / (sqrt(v / correction2) + eps)      (Kingma & Ba 2015)
//   decoupled: param -= lr * weight_decay * param first                   (Loshchilov & Hutter 2019)
template <class R>
struct AdamUpdate {
  int64_t size;
  R *param, *m, *v;
  const R* grad;
  double lr, beta1, beta2, eps, weight_decay, scale, correction1, correction2;
  bool decoupled;
};

//   velocity = momentum * velocity + g;  param -= lr * (nesterov ? g + momentum * velocity : velocity)
template <class R>
struct SgdUpdate {
  int64_t size;
  R *param, *velocity;
  const R* grad;
  double lr, momentum, weight_decay, scale;
  bool nesterov;
};

enum class Activation : int32_t { kSigmoid, kTanh, kExp };

}  // namespace pyseq
