#include "stream/stages.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "runtime/dispatch.h"
#include "stream/convolution.h"
#include "stream/recurrent.h"

namespace pyseq {

template <class R>
Numbers<R>::Numbers(int64_t size) : size_(size) {
  constexpr auto unit = static_cast<std::size_t>(kAlignment);
  const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(R) + 2 * unit - 1) / unit * unit;
  data_.reset(static_cast<R*>(std::aligned_alloc(unit, bytes)));
  if (!data_) throw std::bad_alloc();
  std::memset(static_cast<void*>(data_.get()), 0, bytes);
}
template <class R>
void Numbers<R>::clear() {
  std::memset(static_cast<void*>(data_.get()), 0, static_cast<std::size_t>(size_) * sizeof(R));
}
template <class R>
void Numbers<R>::Free::operator()(R* p) const {
  std::free(p);
}

namespace {

template <class R>
class EmbeddingStage : public Stage<R> {
 public:
  EmbeddingStage(const R* tokens, int64_t stride, R* out, int64_t rows, const R* weight, int64_t vocabulary, int64_t dim)
      : tokens_(tokens), stride_(stride), out_(out), rows_(rows), vocabulary_(vocabulary), dim_(dim), weight_(vocabulary * dim) {
    copy(weight_.data(), weight, vocabulary * dim);
  }
  void step() override {
    for (int64_t r = 0; r < rows_; r++)
      copy(out_ + r * dim_, weight_.data() + static_cast<int64_t>(tokens_[r * stride_]) * dim_, dim_);
  }
  Lookup<R> lookup() const { return {tokens_, stride_, weight_.data(), vocabulary_, dim_}; }

 private:
  const R* tokens_;
  int64_t stride_;
  R* out_;
  int64_t rows_, vocabulary_, dim_;
  Numbers<R> weight_;
};

template <class R>
class ElementwiseStage : public Stage<R> {
 public:
  ElementwiseStage(const R* in, R* out, int64_t size, Elementwise which) : in_(in), out_(out), size_(size), which_(which) {}
  void step() override {
    if (which_ == Elementwise::kRelu)
      for (int64_t i = 0; i < size_; i++) out_[i] = in_[i] > 0 || in_[i] != in_[i] ? in_[i] : R(0);
    else
      kernels<R>().activation(which_ == Elementwise::kTanh ? Activation::kTanh : Activation::kSigmoid, in_, out_, size_);
  }

 private:
  const R* in_;
  R* out_;
  int64_t size_;
  Elementwise which_;
};

template <class R>
class GateStage : public Stage<R> {
 public:
  GateStage(const R* in, R* out, int64_t rows, int64_t width) : in_(in), out_(out), rows_(rows), width_(width), gates_(width) {}
  void step() override {
    for (int64_t r = 0; r < rows_; r++) {
      const R* filter = in_ + 2 * r * width_;
      R* out = out_ + r * width_;
      kernels<R>().activation(Activation::kTanh, filter, out, width_);
      kernels<R>().activation(Activation::kSigmoid, filter + width_, gates_.data(), width_);
      for (int64_t i = 0; i < width_; i++) out[i] *= gates_.data()[i];
    }
  }

 private:
  const R* in_;
  R* out_;
  int64_t rows_, width_;
  Numbers<R> gates_;
};

template <class R>
class AddStage : public Stage<R> {
 public:
  AddStage(const R* a, const R* b, R* out, int64_t size) : a_(a), b_(b), out_(out), size_(size) {}
  void step() override {
    for (int64_t i = 0; i < size_; i++) out_[i] = a_[i] + b_[i];
  }

 private:
  const R *a_, *b_;
  R* out_;
  int64_t size_;
};

template <class R>
class JoinStage : public Stage<R> {
 public:
  JoinStage(const R* a, int64_t wa, const R* b, int64_t wb, R* out, int64_t rows)
      : a_(a), b_(b), out_(out), rows_(rows), wa_(wa), wb_(wb) {}
  void step() override {
    for (int64_t r = 0; r < rows_; r++) {
      copy(out_ + r * (wa_ + wb_), a_ + r * wa_, wa_);
      copy(out_ + r * (wa_ + wb_) + wa_, b_ + r * wb_, wb_);
    }
  }

 private:
  const R *a_, *b_;
  R* out_;
  int64_t rows_, wa_, wb_;
};

template <class R>
class PartStage : public Stage<R> {
 public:
  PartStage(const R* in, int64_t stride, R* out, int64_t rows, int64_t width)
      : in_(in), out_(out), stride_(stride), rows_(rows), width_(width) {}
  void step() override {
    for (int64_t r = 0; r < rows_; r++) copy(out_ + r * width_, in_ + r * stride_, width_);
  }

 private:
  const R* in_;
  R* out_;
  int64_t stride_, rows_, width_;
};

template <class R>
class AffineStage : public Stage<R> {
 public:
  AffineStage(const R* in, R* out, int64_t rows, int64_t width, const R* offset, const R* scale)
      : in_(in), out_(out), rows_(rows), width_(width), constants_(2 * width) {
    copy(constants_.data(), offset, width);
    copy(constants_.data() + width, scale, width);
  }
  void step() override {
    const R *offset = constants_.data(), *scale = offset + width_;
    for (int64_t r = 0; r < rows_; r++)
      for (int64_t i = 0; i < width_; i++) out_[r * width_ + i] = (in_[r * width_ + i] - offset[i]) * scale[i];
  }

 private:
  const R* in_;
  R* out_;
  int64_t rows_, width_;
  Numbers<R> constants_;
};

}  // namespace

template <class R>
Stream<R>::Stream(int64_t rows, int64_t inputs) : rows_(rows) {
  new_frame(inputs);
}
template <class R>
int Stream<R>::new_frame(int64_t width) {
  frame_.push_back(std::make_unique<Frame<R>>(rows_, width));
  return last();
}

template <class R>
int Stream<R>::embedding(int in, const R* weight, int64_t vocabulary, int64_t dim) {
  const int out = new_frame(dim);
  auto stage = std::make_unique<EmbeddingStage<R>>(source(in), width(in), data(out), rows_, weight, vocabulary, dim);
  frame_.back()->lookup = stage->lookup();
  stages_.push_back(std::move(stage));
  return out;
}
template <class R>
int Stream<R>::convolution(int in, const R* weight, const R* bias, int64_t outputs, int64_t taps, int64_t dilation, bool brief) {
  const int out = new_frame(outputs);
  const bool halved = brief && sizeof(R) == sizeof(float);  // as conv_step has it
  if (halved || filter_plan(taps, width(in), outputs).direct())
    stages_.push_back(std::make_unique<ConvolutionStage<R>>(source(in), data(out), rows_, weight, bias, width(in), outputs, taps,
                                                            dilation, brief));
  else
    stages_.push_back(std::make_unique<FilteredStage<R>>(source(in), data(out), rows_, weight, bias, width(in), outputs, taps,
                                                         dilation));
  return out;
}
template <class R>
int Stream<R>::recurrent(int in, const RnnProblem& problem, const RnnWeights<R>& weights, const RecurrentSizes& sizes,
                         const R* zoneout_h, const R* zoneout_c) {
  const int out = new_frame(problem.output);
  const Lookup<R>& lookup = frame_[static_cast<std::size_t>(in)]->lookup;
  stages_.push_back(
      std::make_unique<RecurrentStage<R>>(source(in), lookup, data(out), problem, weights, sizes, zoneout_h, zoneout_c));
  return out;
}
template <class R>
int Stream<R>::elementwise(int in, Elementwise which) {
  const int out = new_frame(width(in));
  stages_.push_back(std::make_unique<ElementwiseStage<R>>(source(in), data(out), rows_ * width(in), which));
  return out;
}
template <class R>
int Stream<R>::gate(int in) {
  const int out = new_frame(width(in) / 2);
  stages_.push_back(std::make_unique<GateStage<R>>(source(in), data(out), rows_, width(out)));
  return out;
}
template <class R>
int Stream<R>::add(int a, int b) {
  const int out = new_frame(width(a));
  stages_.push_back(std::make_unique<AddStage<R>>(source(a), source(b), data(out), rows_ * width(a)));
  return out;
}
template <class R>
int Stream<R>::join(int a, int b) {
  const int out = new_frame(width(a) + width(b));
  stages_.push_back(std::make_unique<JoinStage<R>>(source(a), width(a), source(b), width(b), data(out), rows_));
  return out;
}
template <class R>
int Stream<R>::part(int in, int64_t first, int64_t width_of_part) {
  const int out = new_frame(width_of_part);
  stages_.push_back(std::make_unique<PartStage<R>>(source(in) + first, width(in), data(out), rows_, width_of_part));
  return out;
}
template <class R>
int Stream<R>::affine(int in, const R* offset, const R* scale) {
  const int out = new_frame(width(in));
  stages_.push_back(std::make_unique<AffineStage<R>>(source(in), data(out), rows_, width(in), offset, scale));
  return out;
}
template <class R>
int Stream<R>::constant(int64_t width) {
  return new_frame(width);
}

template <class R>
void Stream<R>::step() {
  for (const auto& stage : stages_) stage->step();
  frames_++;
}
template <class R>
void Stream<R>::reset() {
  for (const auto& stage : stages_) stage->reset();
  frames_ = 0;
}

template class Numbers<float>;
template class Numbers<double>;
template class Stream<float>;
template class Stream<double>;

}  // namespace pyseq
