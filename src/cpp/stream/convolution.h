// A causal convolution one frame at a time, in the arithmetic of Conv1d (stages.h).
#pragma once

#include <vector>

#include "conv/filter_plan.h"
#include "runtime/dispatch.h"
#include "stream/stages.h"

namespace pyseq {

// Weights of `taps` neighbouring taps as conv_step reads them, and what they are multiplied with.
template <class R>
class StepProduct {
 public:
  // weight: [outputs][inputs][taps]
  StepProduct(const R* weight, const R* bias, int64_t outputs, int64_t inputs, int64_t taps, bool brief)
      : inputs_(inputs),
        outputs_(outputs),
        taps_(taps),
        brief_(brief),
        packed_(taps ? (kernels<R>().conv_step_size(outputs, inputs, taps, brief) + size_ - 1) / size_ : 0),
        x_(static_cast<std::size_t>(taps)) {
    if (taps) kernels<R>().conv_step_pack(weight, bias, outputs, inputs, taps, brief, packed_.data());
  }
  int64_t taps() const { return taps_; }
  const R*& x(int64_t tap) { return x_[static_cast<std::size_t>(tap)]; }  // rows under it
  // y = (start or bias) + products of taps [first, end); start may be null.
  void run(int64_t rows, int64_t first, int64_t end, const R* start, R* y) const {
    const ConvStep<R> s = {rows, inputs_, outputs_, taps_, first, end, x_.data(), start, packed_.data(), y};
    kernels<R>().conv_step(s, brief_);
  }

 private:
  static constexpr int64_t size_ = static_cast<int64_t>(sizeof(R));
  int64_t inputs_, outputs_, taps_;
  bool brief_;
  Numbers<R> packed_;
  std::vector<const R*> x_;
};

// Keeps the frames that its taps reach in a ring. Where the dilation allows it, the sums that do not need the newest frame
// are made for kAhead frames at once, as all of theirs are there: their weights are then read once for kAhead frames.
template <class R>
class ConvolutionStage : public Stage<R> {
 public:
  ConvolutionStage(const R* in, R* out, int64_t rows, const R* weight, const R* bias, int64_t inputs, int64_t outputs,
                   int64_t taps, int64_t dilation, bool brief)
      : in_(in),
        out_(out),
        rows_(rows),
        inputs_(inputs),
        outputs_(outputs),
        dilation_(dilation),
        ahead_(taps > 1 && dilation % kAhead == 0),
        length_(ring_length(taps)),
        ring_(taps > 1 ? length_ * rows * inputs : 0),
        sums_(ahead_ ? kAhead * rows * outputs : 0),
        direct_(weight, bias, outputs, inputs, taps, brief) {}

  void step() override {
    if (direct_.taps() > 1) copy(frame(time_), in_, rows_ * inputs_);
    step_direct();
    time_++;
  }
  void reset() override {
    time_ = 0;  // frames before it are not read
  }

 protected:
  static constexpr int64_t kAhead = 8;

  // y of the newest frame, of all the taps that are not before frame 0.
  void step_direct() {
    const int64_t taps = direct_.taps();
    direct_.x(taps - 1) = in_;
    if (!ahead_) return direct_.run(rows_, point_at_taps(), taps, nullptr, out_);
    const int64_t place = time_ % kAhead;
    if (place == 0) direct_.run(kAhead * rows_, point_at_taps(), taps - 1, nullptr, sums_.data());
    direct_.run(rows_, taps - 1, taps, sums_.data() + place * rows_ * outputs_, out_);
  }
  R* frame(int64_t t) const { return ring_.data() + t % length_ * rows_ * inputs_; }
  int64_t reach() const { return (direct_.taps() - 1) * dilation_; }

  const R* in_;
  R* out_;
  int64_t rows_, inputs_, outputs_, dilation_;
  bool ahead_;
  int64_t time_ = 0;

 private:
  // Frames from the oldest tap to the newest; whole blocks, so that kAhead frames lie one after the other.
  int64_t ring_length(int64_t taps) const {
    const int64_t length = (taps - 1) * dilation_ + 1;
    return ahead_ ? (length + kAhead - 1) / kAhead * kAhead : length;
  }
  // Points at the frames under the older taps; returns the first tap that is not before frame 0.
  int64_t point_at_taps() {
    int64_t first = direct_.taps() - 1;
    for (int64_t k = first; k-- > 0;) {
      const int64_t t = time_ - (direct_.taps() - 1 - k) * dilation_;
      if (t < 0) break;
      direct_.x(k) = frame(t);
      first = k;
    }
    return first;
  }

  int64_t length_;
  Numbers<R> ring_, sums_;
  StepProduct<R> direct_;
};

// The same with the sums of conv/minimal_filter.h, once all taps are inside.
template <class R>
class FilteredStage : public ConvolutionStage<R> {
 public:
  FilteredStage(const R* in, R* out, int64_t rows, const R* weight, const R* bias, int64_t inputs, int64_t outputs, int64_t taps,
                int64_t dilation)
      : ConvolutionStage<R>(in, out, rows, weight, bias, inputs, outputs, taps, dilation, false),
        plan_(filter_plan(taps, inputs, outputs)),
        block_(plan_.others && this->ahead_ ? this->kAhead : 1),
        bias_(outputs),
        made_(3 * plan_.groups * block_ * rows * inputs),
        sums_(block_ * rows * outputs),
        n_sums_(block_ * rows * outputs),
        waiting_(dilation * rows * outputs),
        m_(product(weight, 0, &FilterParts<R>::m)),
        n_(product(weight, 0, &FilterParts<R>::n)),
        first_(product(weight, plan_.others, &FilterParts<R>::first)),
        second_(product(weight, plan_.others, &FilterParts<R>::second)) {
    if (bias) copy(bias_.data(), bias, outputs);
  }

  void step() override {
    copy(frame(time_), in_, rows_ * inputs_);
    if (time_ < this->reach()) this->step_direct();
    else step_filtered();
    time_++;
  }

 private:
  using ConvolutionStage<R>::frame, ConvolutionStage<R>::in_, ConvolutionStage<R>::out_, ConvolutionStage<R>::rows_;
  using ConvolutionStage<R>::inputs_, ConvolutionStage<R>::outputs_, ConvolutionStage<R>::dilation_;
  using ConvolutionStage<R>::time_;

  // One of the four products, of weights made of [outputs][inputs][taps].
  StepProduct<R> product(const R* weight, int64_t others, R FilterParts<R>::*part) const {
    const int64_t lines = plan_.groups + others;
    Numbers<R> made(outputs_ * inputs_ * lines);
    for (int64_t i = 0; i < outputs_ * inputs_; i++, weight += 3 * plan_.groups + plan_.others)
      for (int64_t k = 0; k < lines; k++) {
        const R* g = weight + 3 * k;
        made.data()[i * lines + k] = k < plan_.groups ? FilterParts<R>(g[0], g[1], g[2]).*part : weight[k + 2 * plan_.groups];
      }
    return StepProduct<R>(made.data(), nullptr, outputs_, inputs_, lines, false);
  }

  void step_filtered() {
    const int64_t place = (time_ - this->reach()) % (2 * dilation_), here = time_ % block_;
    const bool later = place >= dilation_;  // the second frame of its pair
    if (here == 0) later ? second_frames(place - dilation_) : first_frames(place);
    if (!plan_.others) return;
    StepProduct<R>& last = later ? second_ : first_;
    for (int64_t o = 0; o < plan_.others; o++) last.x(plan_.groups + o) = tap(3 * plan_.groups + o);
    last.run(rows_, plan_.groups, plan_.groups + plan_.others, sums_.data() + here * rows_ * outputs_, out_);
  }
  // The sums over all groups for block_ frames, and those that wait for the other frames of their pairs.
  void first_frames(int64_t place) {
    const int64_t count = block_ * rows_ * inputs_;
    R* made = made_.data();
    for (int64_t g = 0; g < plan_.groups; g++, made += 3 * count) {
      const R *x0 = tap(3 * g), *x1 = tap(3 * g + 1), *x2 = tap(3 * g + 2);
      for (int64_t i = 0; i < count; i++) {
        made[i] = x1[i] + x2[i];
        made[count + i] = x2[i] - x1[i];
        made[2 * count + i] = x0[i] - x2[i];
      }
      m_.x(g) = made;
      n_.x(g) = made + count;
      first_.x(g) = made + 2 * count;
    }
    R *sum = sums_.data(), *difference = waiting(place), *n = n_sums_.data();
    const R* bias = bias_.data();
    m_.run(block_ * rows_, 0, plan_.groups, nullptr, sum);
    n_.run(block_ * rows_, 0, plan_.groups, nullptr, n);
    for (int64_t r = 0; r < block_ * rows_; r++, sum += outputs_, difference += outputs_, n += outputs_)
      for (int64_t i = 0; i < outputs_; i++) {
        const R m = sum[i];
        sum[i] = (m + n[i]) + bias[i];
        difference[i] = (m - n[i]) + bias[i];
      }
    first_.run(block_ * rows_, 0, plan_.groups, sums_.data(), summed());
  }
  void second_frames(int64_t place) {
    const int64_t count = block_ * rows_ * inputs_;
    R* made = made_.data();
    for (int64_t g = 0; g < plan_.groups; g++, made += count) {
      const R *x1 = tap(3 * g), *x3 = tap(3 * g + 2);
      for (int64_t i = 0; i < count; i++) made[i] = x3[i] - x1[i];
      second_.x(g) = made;
    }
    second_.run(block_ * rows_, 0, plan_.groups, waiting(place), summed());
  }
  // Where the sums over all groups go: to y, if nothing is added to them.
  R* summed() const { return plan_.others ? sums_.data() : out_; }
  R* waiting(int64_t place) const { return waiting_.data() + place * rows_ * outputs_; }
  // Frames under tap k of the newest one.
  const R* tap(int64_t k) const { return frame(time_ - this->reach() + k * dilation_); }

  FilterPlan plan_;
  int64_t block_;  // frames whose groups are summed at once
  Numbers<R> bias_, made_, sums_, n_sums_, waiting_;
  StepProduct<R> m_, n_, first_, second_;
};

}  // namespace pyseq
