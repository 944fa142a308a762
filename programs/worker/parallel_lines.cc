#include "programs/worker/parallel_lines.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <future>
#include <optional>

#include "base/error.h"
#include "models/tokenizer/parallel.h"
#include "models/tokenizer/unicode.h"
#include "programs/worker/json_lines.h"

namespace masbak::worker {
namespace {

// A batch is small enough that its lines and answers stay in the processor's caches and reuse the same memory.
constexpr size_t kReadBytes = 1 << 20, kMostBatchBytes = 2 << 20;

bool more_is_waiting() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return ::poll(&input, 1, 0) > 0;
}

// Appends what there is of standard input to `text`, waiting for the first of it; false at its end.
bool read_some(std::string& text) {
  do {
    const size_t before = text.size();
    text.resize(before + kReadBytes);
    ssize_t got = 0;
    do got = ::read(STDIN_FILENO, text.data() + before, kReadBytes);
    while (got < 0 && errno == EINTR);
    text.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) base::fail_errno("reading", "standard input");
    if (got == 0) return false;
  } while (text.size() < kMostBatchBytes && more_is_waiting());
  return true;
}

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EPIPE) {
      throw base::Error(base::Code::kUnavailable, "standard output was closed before all answers were written");
    }
    if (done < 0) base::fail_errno("writing", "standard output");
    text.remove_prefix(static_cast<size_t>(done));
  }
}

// Writes one text while the next is being made.
class Output {
 public:
  ~Output() {
    if (writing_.valid()) writing_.wait();
  }
  void write(std::string text) {
    flush();
    writing_ = std::async(std::launch::async, [text = std::move(text)] { write_all(text); });
  }
  void flush() {
    if (writing_.valid()) writing_.get();
  }

 private:
  std::future<void> writing_;
};

struct Line {
  std::string_view text;
  int number;
};

void answer_batch(const std::vector<Line>& lines, const std::function<std::string(std::string_view, int)>& answer,
                  Output& output) {
  std::vector<std::string> answers(lines.size());
  std::vector<std::exception_ptr> errors(lines.size());
  models::parallel_for(lines.size(), 0, [&](size_t i) {
    try {
      answers[i] = answer(lines[i].text, lines[i].number);
    } catch (...) {
      errors[i] = std::current_exception();
    }
  });
  std::string out;
  size_t size = 0;
  for (const std::string& each : answers) size += each.size() + 1;
  out.reserve(size);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (errors[i]) {
      output.write(std::move(out));  // the answers to the lines before stand
      output.flush();
      try {
        std::rethrow_exception(errors[i]);
      } catch (const base::Error& error) {
        if (!error.where().file.empty()) throw;
        throw base::Error(error.code(), error.what(), input_line(lines[i].number, error.where().field));
      }
    }
    out.append(answers[i]).append("\n");
  }
  output.write(std::move(out));
}

// Reads JSON text from the front.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool character(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  bool string(std::string& out) {
    if (!character('"')) return false;
    out.clear();
    while (at_ < text_.size()) {
      const size_t begin = at_;
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<unsigned char>(text_[at_]) >= 0x20) {
        ++at_;
      }
      out.append(text_, begin, at_ - begin);
      if (at_ >= text_.size()) return false;
      if (text_[at_] == '"') {
        ++at_;
        return true;
      }
      if (text_[at_] != '\\' || !escape(out)) return false;
    }
    return false;
  }
  bool integer(int32_t& value) {
    skip_space();
    auto [rest, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    const bool zero = at_ + 1 < text_.size() && text_[at_] == '0' && text_[at_ + 1] >= '0' && text_[at_ + 1] <= '9';
    if (error != std::errc() || value < 0 || zero) return false;
    at_ = static_cast<size_t>(rest - text_.data());
    return at_ >= text_.size() || (text_[at_] != '.' && (text_[at_] | 0x20) != 'e');
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  std::optional<char32_t> hex4() {
    if (at_ + 4 > text_.size()) return std::nullopt;
    uint32_t value = 0;
    auto [rest, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, value, 16);
    if (error != std::errc() || rest != text_.data() + at_ + 4) return std::nullopt;
    at_ += 4;
    return value;
  }
  bool escape(std::string& out) {
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (at_ + 1 >= text_.size()) return false;
    const char kind = text_[at_ + 1];
    at_ += 2;
    if (size_t index = kFrom.find(kind); index != std::string_view::npos) {
      out += kTo[index];
      return true;
    }
    if (kind != 'u') return false;
    auto point = hex4();
    if (!point || (*point >= 0xDC00 && *point <= 0xDFFF)) return false;
    if (*point >= 0xD800 && *point <= 0xDBFF) {
      if (text_.substr(at_, 2) != "\\u") return false;
      at_ += 2;
      auto low = hex4();
      if (!low || *low < 0xDC00 || *low > 0xDFFF) return false;
      point = 0x10000 + ((*point - 0xD800) << 10) + (*low - 0xDC00);
    }
    models::append_utf8(out, *point);
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool open_field(Scanner& scanner, std::string_view field) {
  std::string name;
  return scanner.character('{') && scanner.string(name) && name == field && scanner.character(':');
}

}  // namespace

bool read_lone_text(std::string_view line, std::string_view field, std::string& text) {
  Scanner scanner(line);
  return open_field(scanner, field) && scanner.string(text) && scanner.character('}') && scanner.at_end() &&
         models::is_valid_utf8(text);
}

bool read_lone_ids(std::string_view line, std::string_view field, std::vector<int32_t>& ids) {
  Scanner scanner(line);
  if (!open_field(scanner, field) || !scanner.character('[')) return false;
  ids.clear();
  if (!scanner.character(']')) {
    do {
      int32_t id = 0;
      if (!scanner.integer(id)) return false;
      ids.push_back(id);
    } while (scanner.character(','));
    if (!scanner.character(']')) return false;
  }
  return scanner.character('}') && scanner.at_end();
}

void answer_lines_in_parallel(const std::function<std::string(std::string_view, int)>& answer) {
  std::string text;
  std::vector<Line> lines;
  Output output;
  int number = 0;
  for (bool open = true; open;) {
    open = read_some(text);
    lines.clear();
    size_t begin = 0;
    for (size_t end; begin < text.size(); begin = end + 1) {
      end = text.find('\n', begin);
      if (end == std::string::npos) {
        if (open) break;  // the rest of this line is still to come
        end = text.size();
      }
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      ++number;
      if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back({line, number});
    }
    if (!lines.empty()) answer_batch(lines, answer, output);
    text.erase(0, std::min(begin, text.size()));
  }
  output.flush();
}

}  // namespace masbak::worker
