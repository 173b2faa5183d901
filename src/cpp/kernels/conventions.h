// What all structs of the contract (kernels.h) keep to.
//
// R is float or double. Frames are rows of a 2-D array with a row stride in elements;
// frame t of sequence b is row start[b] + t. So padded batches (start = b * T), packed ragged batches and
// mini-batches picked out of a larger data set are one thing, and nothing is read beyond a sequence's
// length. Pointers never alias unless said; "may be null" is said where it holds. Kernels allocate nothing,
// throw nothing, and choose their number of threads from `crew` and the size of the work; results do not depend on it.
// Workspaces come from the caller, aligned to 64 bytes, contents irrelevant, size in bytes from the
// *_workspace function for the same struct (pointers need not be set for it).
#pragma once

#include <cstdint>

#include "runtime/parallel.h"

namespace pyseq {

constexpr int64_t kAlignment = 64;

}  // namespace pyseq
