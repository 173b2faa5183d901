// A network one frame at a time: stages that each read the frames of earlier ones and keep what they need of the past.
//
// Compiled once, for any CPU: the arithmetic is in the kernels of the tier in use. A frame is `rows` rows, one for each
// of the streams that go side by side. All memory is taken when a stage is made; a step allocates nothing.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels.h"

namespace pyseq {

// Aligned numbers, zero at first.
template <class R>
class Numbers {
 public:
  explicit Numbers(int64_t size);
  R* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  void clear();

 private:
  struct Free {
    void operator()(R* p) const;
  };
  std::unique_ptr<R, Free> data_;
  int64_t size_;
};

template <class R>
inline void copy(R* to, const R* from, int64_t count) {
  if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(R));
}

// Rows of a frame that are rows of a table.
template <class R>
struct Lookup {
  const R* tokens;   // which: `stride` from one row of the frame to the next
  int64_t stride;
  const R* weight;   // [vectors][dim]
  int64_t vectors, dim;
};

// What a stage leaves of a frame: [rows][width].
template <class R>
struct Frame {
  int64_t width;
  Numbers<R> values;
  Lookup<R> lookup{};  // no vectors: its rows may be anything
  Frame(int64_t rows, int64_t w) : width(w), values(rows * w) {}
  R* data() const { return values.data(); }
};

template <class R>
class Stage {
 public:
  virtual ~Stage() = default;
  virtual void step() = 0;
  virtual void reset() {}  // as before the first frame
};

enum class Elementwise : int32_t { kRelu, kTanh, kSigmoid };

// The weights a recurrent stage keeps a copy of, one after the other, in the order of RnnWeights.
struct RecurrentSizes {
  int64_t weight_ih, weight_hh, bias_ih, bias_hh, extra;
};

// Stages are added in the order they run in; frames go by number, 0 being the input.
template <class R>
class Stream {
 public:
  Stream(int64_t rows, int64_t inputs);

  int64_t rows() const { return rows_; }
  int64_t frames() const { return frames_; }  // so far
  int64_t width(int frame) const { return frame_[static_cast<std::size_t>(frame)]->width; }
  R* data(int frame) const { return frame_[static_cast<std::size_t>(frame)]->data(); }
  int last() const { return static_cast<int>(frame_.size()) - 1; }

  // Each returns the number of the frame it writes. Weights are copied.
  int embedding(int in, const R* weight, int64_t vocabulary, int64_t dim);  // of column 0, which holds whole numbers
  int convolution(int in, const R* weight, const R* bias, int64_t outputs, int64_t taps, int64_t dilation, bool brief);
  // zoneout_h [output], zoneout_c [hidden]: part of each number that stays as it was; may be null.
  int recurrent(int in, const RnnProblem& problem, const RnnWeights<R>& weights, const RecurrentSizes& sizes,
                const R* zoneout_h = nullptr, const R* zoneout_c = nullptr);
  int elementwise(int in, Elementwise which);
  int gate(int in);                              // tanh of the first half times sigmoid of the second
  int add(int a, int b);
  int part(int in, int64_t first, int64_t width);  // columns
  int join(int a, int b);                        // side by side
  int affine(int in, const R* offset, const R* scale);  // (x - offset) * scale
  int constant(int64_t width);                   // a frame the caller fills

  void step();
  void reset();

 private:
  int new_frame(int64_t width);
  const R* source(int frame) const { return data(frame); }

  int64_t rows_, frames_ = 0;
  std::vector<std::unique_ptr<Frame<R>>> frame_;
  std::vector<std::unique_ptr<Stage<R>>> stages_;
};

}  // namespace pyseq
