// Connectionist temporal classification: loss, alignment, greedy decoding, a frame of a beam search.
#pragma once

#include "kernels/conventions.h"

namespace pyseq {

//   nll[b]  = -log sum over alignments of targets[b] of prod_t exp(class_bias[label_t]) softmax(x_t)[label_t]
//   loss[b] = (1 - smoothing) nll[b] + smoothing sum_t cross entropy of softmax(x_t) with the uniform distribution
//   grad    = grad_scale[b] d loss[b] / d x
// Infeasible targets: loss +inf, gradient 0. The uniform distribution is over the classes of a frame that are not -inf.
template <class R>
struct CtcLoss {
  int64_t batch, classes, blank;
  const int64_t* lengths;         // [batch] frames, 0 allowed
  const int64_t* x_start;         // [batch] rows of logits and of grad
  const int64_t* grad_start;
  const R* logits;                // frames of `classes` numbers
  int64_t logits_stride;
  const int32_t* targets;         // labels of all sequences, one after the other; in [0, classes), not blank
  const int64_t* target_start;    // [batch]
  const int64_t* target_lengths;  // [batch], 0 allowed
  const R* class_bias;            // [classes], finite; may be null: 0
  const R* grad_scale;            // [batch], may be null: 1
  double smoothing;               // in [0, 1)
  R* losses;                      // [batch]
  R* grad;                        // frames of `classes` numbers, may be null: loss only; may be logits, with equal
  int64_t grad_stride;            //   starts and strides and no frame in two sequences
  void* workspace;                // its size depends on whether grad and class_bias are null
  Crew crew;
};

// The most probable alignment of each target. Of equal ones: the one that, from the last frame backwards, ends in blank
// rather than a label, stays where it is rather than comes from another state, and comes from the blank before a label
// rather than from the label before that. Scores of alignments are float64 sums of logits in order of the frames.
template <class R>
struct CtcAlign {
  int64_t batch, classes, blank;
  const int64_t* lengths;         // [batch] frames, 0 allowed
  const int64_t* x_start;         // [batch]
  const R* logits;
  int64_t logits_stride;
  const int32_t* targets;         // as in CtcLoss
  const int64_t* target_start;
  const int64_t* target_lengths;
  const int64_t* path_start;      // [batch] where the frames of each sequence go in path
  const int64_t* span_start;      // [batch] where its labels go in begin, end and confidence
  int32_t* path;                  // class of every frame; -1 where there is no alignment
  int64_t *begin, *end;           // first frame of every label and the one after its last; -1 likewise
  R* confidence;                  // mean over these frames of the label's probability; 0 likewise
  double* scores;                 // [batch] log-probability; -inf where there is no alignment, NaN for NaN
  void* workspace;
  Crew crew;
};

// Best class of every frame, repeats merged, blanks dropped. Ties go to the lower class. Without scores and places a frame
// costs the search for its largest number alone.
template <class R>
struct CtcGreedy {
  int64_t batch, classes, blank;
  const int64_t* lengths;
  const int64_t* x_start;
  const R* logits;
  int64_t logits_stride;
  const int64_t* out_start;  // [batch] where the labels of each sequence go; room for lengths[b] of them
  int64_t* labels;           // at out_start[b]: out_lengths[b] labels
  int64_t* frames;           // same layout: first frame of each label; null: no places, ends and log_probs likewise
  int64_t* ends;             // same layout: frame after the last of each label
  float* log_probs;          // same layout: log-probability of the label, summed over its frames
  int64_t* out_lengths;      // [batch]
  R* scores;                 // [batch] sum over frames of log softmax of the best class; null: no scores and no places
};

// One frame of a prefix beam search. An entry of the beam is a prefix, a sequence of labels, with the logarithms of
// the probability of its alignments so far that end in a blank and of those that end in its last label. Its score is
// the logarithm of their sum; what other sources say of a prefix (a language model) is part of both.
//   kept      blank' = (blank + label) p(blank)
//             label' = label p(last) + (parent's score, or its blank if it ends in the same label) gain p(last)
//   extended  label' = (score, or blank if the label repeats the last one) row[label] p(label)
// The `width` best of all kept and extended prefixes stay, best first come first: of equal scores, kept prefixes
// precede extended ones, these in the order of the prefix they extend, then of their label.
constexpr double kNoScore = -1e30;  // the logarithm of 0: finite, so that differences are
constexpr int64_t beam_room(int64_t width) { return (width + 15) / 16 * 16; }  // numbers in an array of entries

template <class R>
struct BeamScores {
  R* blank;  // [beam_room(width)] aligned to 64 bytes
  R* label;  // likewise
};

template <class R>
struct CtcBeamFrame {
  int64_t classes, blank, width;
  R least;                      // labels of a smaller log-probability extend nothing, unless the frame has no larger
  const R* logits;              // [classes]
  int64_t count;                // entries, at most width
  BeamScores<R> now;            // up to beam_room: kNoScore beyond count
  const int32_t* last;          // [beam_room(width)] last label; the blank for the empty prefix
  const int32_t* parent;        // [count] entry of the prefix without its last label, or -1
  int64_t children;             // entries that have a parent
  const int32_t* child;         // [children] which
  const float* const* rows;     // [beam_room(width)] each [beam_room(classes)]: what they would add with each label, anything
                                // beyond count; or null
  const float* row_most;        // [beam_room(width)] the largest number of each row; null where rows is
  BeamScores<R> next;           // out, up to beam_room(width); relative to the best score
  float* next_row_most;         // out, [beam_room(width)] row_most of entries that are kept, anything elsewhere; or null
  int32_t* from;                // out, [beam_room(width)] which entry an entry was
  int32_t* label;               // out, [beam_room(width)] the label that extends it, or -1: kept; those that are kept come first
  void* workspace;
};

template <class R>
struct BeamFrameResult {
  int64_t count;      // entries after the frame; -1 if its softmax is NaN: nothing is written then
  R best;             // score that the new ones are relative to
  R log_denominator;  // log p(c) = logits[c] - log_denominator
};

}  // namespace pyseq
