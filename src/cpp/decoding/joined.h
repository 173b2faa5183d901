// Several sources as one, whose rows are kept.
#pragma once

#include <memory>
#include <vector>

#include "decoding/scoring.h"

namespace pyseq {

// Adds the scores of its parts. A row is made once for each state that comes up, and links lead on from it: the parts
// are asked only for what was not asked before. `width`: entries of the beam, whose rows have to have room.
std::unique_ptr<SourceReader> joined_reader(std::vector<std::unique_ptr<SourceReader>> parts, int64_t classes,
                                            int64_t blank, int64_t width);

}  // namespace pyseq
