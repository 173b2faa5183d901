#include "decoding/arpa.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace pyseq {

namespace {

constexpr std::size_t kLongestLine = 1 << 20;
constexpr int kLongestNgram = 32;
constexpr int64_t kMostNgrams = (int64_t{1} << 31) - 2;  // nodes are numbered in 32 bits
constexpr float kLogZero = -99;                         // how the format writes log10(0)

bool is_space(char c) { return c == ' ' || c == '\t'; }

struct Field {
  const char* begin;
  const char* end;
  std::size_t size() const { return static_cast<std::size_t>(end - begin); }
  std::string text() const { return size() > 60 ? std::string(begin, 60) + "..." : std::string(begin, end); }
};

// The next field of a line; false at its end.
bool next_field(const char*& text, const char* end, Field& field) {
  while (text < end && is_space(*text)) text++;
  field.begin = text;
  while (text < end && !is_space(*text)) text++;
  field.end = text;
  return field.begin < field.end;
}

// A decimal number, rounded to within an ulp of double; false if the field is none. inf where it is too large.
bool read_number(const Field& field, double& value) {
  const char* p = field.begin;
  const bool negative = p < field.end && *p == '-';
  if (p < field.end && (*p == '-' || *p == '+')) p++;
  uint64_t digits = 0;
  int exponent = 0, count = 0;
  const auto read_digits = [&](bool fraction) {
    for (; p < field.end && *p >= '0' && *p <= '9'; p++, count++) {
      if (digits < 100000000000000000u) {
        digits = digits * 10 + static_cast<uint64_t>(*p - '0');
        exponent -= fraction;
      } else {
        exponent += !fraction;
      }
    }
  };
  read_digits(false);
  if (p < field.end && *p == '.') {
    p++;
    read_digits(true);
  }
  if (count == 0) return false;
  if (p < field.end && (*p == 'e' || *p == 'E')) {
    p++;
    const bool down = p < field.end && *p == '-';
    if (p < field.end && (*p == '-' || *p == '+')) p++;
    if (p == field.end) return false;
    int power = 0;
    for (; p < field.end && *p >= '0' && *p <= '9'; p++) power = power > 9999 ? power : power * 10 + (*p - '0');
    exponent += down ? -power : power;
  }
  static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const auto mantissa = static_cast<double>(digits);
  if (exponent < -22 || exponent > 22) value = digits == 0 ? 0 : mantissa * std::pow(10.0, exponent);
  else value = exponent < 0 ? mantissa / powers[-exponent] : mantissa * powers[exponent];
  if (negative) value = -value;
  return p == field.end;
}

bool equals(const char* text, const char* end, const char* wanted) {
  const std::size_t size = std::strlen(wanted);
  return static_cast<std::size_t>(end - text) == size && std::memcmp(text, wanted, size) == 0;
}

std::string grams(int order) { return std::to_string(order) + "-grams"; }

}  // namespace

std::size_t WordTable::place(const char* word, std::size_t size) const {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (std::size_t i = 0; i < size; i++) hash = (hash ^ static_cast<unsigned char>(word[i])) * 1099511628211u;
  const std::size_t mask = table_.size() - 1;
  std::size_t at = static_cast<std::size_t>(hash ^ hash >> 32) & mask;
  for (; table_[at]; at = (at + 1) & mask) {
    const auto k = static_cast<std::size_t>(table_[at] - 1);
    const int64_t begin = k ? ends_[k - 1] : 0;
    if (static_cast<std::size_t>(ends_[k] - begin) == size && std::memcmp(text_.data() + begin, word, size) == 0) break;
  }
  return at;
}

int32_t WordTable::find(const char* word, std::size_t size) const { return table_[place(word, size)] - 1; }

int32_t WordTable::add(const char* word, std::size_t size) {
  std::size_t at = place(word, size);
  if (table_[at]) return table_[at] - 1;
  text_.append(word, size);
  ends_.push_back(static_cast<int64_t>(text_.size()));
  table_[at] = this->size();
  if (2 * ends_.size() > table_.size()) {
    table_.assign(4 * table_.size(), 0);
    int64_t begin = 0;
    for (std::size_t k = 0; k < ends_.size(); begin = ends_[k++])
      table_[place(text_.data() + begin, static_cast<std::size_t>(ends_[k] - begin))] = static_cast<int32_t>(k) + 1;
  }
  return this->size() - 1;
}

void ArpaReader::feed(const char* text, std::size_t size) {
  const char* const end = text + size;
  while (text < end) {
    const auto* stop = static_cast<const char*>(std::memchr(text, '\n', static_cast<std::size_t>(end - text)));
    if (!stop) {
      rest_.append(text, end);
      if (rest_.size() > kLongestLine) {
        line_++;
        fail("is longer than " + std::to_string(kLongestLine) + " bytes: is this a text file?");
      }
      return;
    }
    if (rest_.empty()) {
      read_line(text, stop);
    } else {
      rest_.append(text, stop);
      read_line(rest_.data(), rest_.data() + rest_.size());
      rest_.clear();
    }
    text = stop + 1;
  }
}

std::shared_ptr<NgramModel> ArpaReader::finish() {
  if (!rest_.empty()) {
    read_line(rest_.data(), rest_.data() + rest_.size());
    rest_.clear();
  }
  if (part_ == Part::kBefore) fail("is the last one, but there was no \\data\\: this is not an ARPA file");
  if (part_ != Part::kAfter) fail("is the last one, but there was no \\end\\: the file is truncated");
  auto model = builder_.finish(words_.size());
  model->order = static_cast<int32_t>(counts_.size());
  const auto number = [&](const char* word) { return words_.find(word, std::strlen(word)); };
  model->begin_word = number("<s>");
  model->end_word = number("</s>");
  model->unknown_word = number("<unk>") >= 0 ? number("<unk>") : number("<UNK>");
  return model;
}

void ArpaReader::read_line(const char* text, const char* end) {
  line_++;
  while (end > text && (end[-1] == '\r' || is_space(end[-1]))) end--;
  while (text < end && is_space(*text)) text++;
  if (text == end || part_ == Part::kAfter) return;
  if (part_ == Part::kBefore) {  // what stands before is a comment
    if (equals(text, end, "\\data\\")) part_ = Part::kCounts;
    return;
  }
  if (*text == '\\') {
    read_heading(text, end);
  } else if (part_ == Part::kCounts) {
    read_count(text, end);
  } else {
    read_ngram(text, end);
  }
}

void ArpaReader::read_count(const char* text, const char* end) {
  const std::string line = Field{text, end}.text();
  Field field;
  if (!next_field(text, end, field) || !equals(field.begin, field.end, "ngram"))
    fail("is '" + line + "', expected 'ngram N=COUNT' or a section '\\1-grams:'");
  int64_t numbers[2] = {0, 0};
  const std::string expected = "is '" + line + "', expected 'ngram " + std::to_string(counts_.size() + 1) + "=COUNT'";
  for (int k = 0; k < 2; k++) {
    while (text < end && is_space(*text)) text++;
    if (text == end || *text < '0' || *text > '9') fail(expected);
    for (; text < end && *text >= '0' && *text <= '9'; text++)
      numbers[k] = std::min<int64_t>(numbers[k] * 10 + (*text - '0'), kMostNgrams + 1);
    while (text < end && is_space(*text)) text++;
    if (k == 0 && (text == end || *text++ != '=')) fail(expected);
  }
  if (text != end || numbers[0] != static_cast<int64_t>(counts_.size()) + 1) fail(expected);
  const std::string named = grams(static_cast<int>(numbers[0]));
  if (numbers[0] > kLongestNgram) fail("announces " + named + ", expected at most " + grams(kLongestNgram));
  if (numbers[1] > kMostNgrams)
    fail("announces more than " + std::to_string(kMostNgrams) + " " + named + ", which is more than can be held");
  counts_.push_back(numbers[1]);
  count_lines_.push_back(line_);
}

void ArpaReader::read_heading(const char* text, const char* end) {
  if (counts_.empty()) fail("begins a section, expected 'ngram 1=COUNT' after \\data\\");
  check_complete();
  const bool last = order_ == static_cast<int>(counts_.size());
  const std::string wanted = last ? "\\end\\" : "\\" + grams(order_ + 1) + ":";
  if (!equals(text, end, wanted.c_str())) fail("is '" + Field{text, end}.text() + "', expected '" + wanted + "'");
  part_ = last ? Part::kAfter : Part::kNgrams;
  order_++;
  seen_ = 0;
}

void ArpaReader::check_complete() {
  if (part_ != Part::kNgrams || seen_ == counts_[static_cast<std::size_t>(order_) - 1]) return;
  const auto k = static_cast<std::size_t>(order_) - 1;
  fail("ends the " + grams(order_) + " after " + std::to_string(seen_) + " of them, but line " +
       std::to_string(count_lines_[k]) + " announced " + std::to_string(counts_[k]));
}

void ArpaReader::read_ngram(const char* text, const char* end) {
  const auto k = static_cast<std::size_t>(order_) - 1;
  if (seen_++ == counts_[k])
    fail("is one more of the " + grams(order_) + " than the " + std::to_string(counts_[k]) + " that line " +
         std::to_string(count_lines_[k]) + " announced");
  const auto number = [&](const Field& field, const char* what) {
    double value;
    if (equals(field.begin, field.end, "-inf") || equals(field.begin, field.end, "-Infinity")) return kLogZero;
    if (!read_number(field, value)) fail(std::string("has '") + field.text() + "' as " + what + ", expected a number");
    if (!(value < 1e30 && value > -1e30))
      fail(std::string("has '") + field.text() + "' as " + what + ", which is too large");
    return static_cast<float>(value);
  };
  Field field{text, text};
  next_field(text, end, field);
  const float log10 = number(field, "logarithm of a probability");
  if (log10 > 0) fail("has '" + field.text() + "' as logarithm of a probability, expected at most 0");
  ngram_.clear();
  for (int i = 0; i < order_; i++) {
    if (!next_field(text, end, field))
      fail("has " + std::to_string(i) + " words, expected " + std::to_string(order_) + " in the " + grams(order_));
    const int32_t word = order_ == 1 ? words_.add(field.begin, field.size()) : words_.find(field.begin, field.size());
    if (word < 0) fail("has the word '" + field.text() + "', which is not among the 1-grams");
    ngram_.push_back(word);
  }
  float backoff = 0;
  if (next_field(text, end, field)) backoff = number(field, "backoff");
  if (next_field(text, end, field))
    fail("goes on with '" + field.text() + "', expected " + std::to_string(order_) + " words and a backoff");
  if (order_ == static_cast<int>(counts_.size())) backoff = 0;  // no history is that long
  if (!builder_.add(ngram_.data(), order_, log10, backoff)) fail("has an n-gram that occurred before");
}

void ArpaReader::fail(const std::string& what) const { throw ArpaError("line " + std::to_string(line_) + " " + what); }

}  // namespace pyseq
