// Reads n-gram models in the ARPA format, as the text comes:
//
//   "\data\"       how many n-grams of each length follow:   ngram 1=4
//   "\1-grams:"    a line each: log10 p, the words, log10 of the backoff (0 where it is left out)
//   "\end\"
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "decoding/ngram.h"

namespace pyseq {

// Says which line is wrong, and how.
class ArpaError : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Words by number, and numbers by word.
class WordTable {
 public:
  WordTable() : table_(1 << 10, 0) {}
  int32_t add(const char* word, std::size_t size);         // its number, a new one if it is new
  int32_t find(const char* word, std::size_t size) const;  // -1: not there
  int32_t size() const { return static_cast<int32_t>(ends_.size()); }
  const std::string& text() const { return text_; }           // the words, one after the other
  const std::vector<int64_t>& ends() const { return ends_; }  // where each ends in it

 private:
  std::size_t place(const char* word, std::size_t size) const;
  std::string text_;
  std::vector<int64_t> ends_;
  std::vector<uint64_t> hashes_;
  std::vector<int32_t> table_;  // number + 1
};

class ArpaReader {
 public:
  void feed(const char* text, std::size_t size);
  std::shared_ptr<NgramModel> finish();
  const WordTable& words() const { return words_; }
  int64_t line() const { return line_; }

 private:
  enum class Part { kBefore, kCounts, kNgrams, kAfter };

  void read_line(const char* text, const char* end);
  void read_count(const char* text, const char* end);
  void read_heading(const char* text, const char* end);
  void read_ngram(const char* text, const char* end);
  void check_complete();
  [[noreturn]] void fail(const std::string& what) const;

  std::string rest_;  // a line that has not ended yet
  int64_t line_ = 0;
  Part part_ = Part::kBefore;
  std::vector<int64_t> counts_, count_lines_;  // announced n-grams of each length, and where
  int order_ = 0;                              // of the section that is being read
  int64_t seen_ = 0;                           // n-grams of it so far
  WordTable words_;
  NgramBuilder builder_;
  std::vector<int32_t> ngram_;
};

}  // namespace pyseq
