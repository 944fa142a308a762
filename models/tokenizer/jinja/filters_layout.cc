// Filters that lay a value out; and, by name, those of jinja2 that are not here.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "models/tokenizer/jinja/filters.h"
#include "models/tokenizer/jinja/string_methods.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models::jinja {
namespace {

Value pretty(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("pprint", 0);
  return render.make_text(pretty_text(input));
}

// textwrap.wrap on one line, in code points.
class Wrapper {
 public:
  Wrapper(std::string_view line, int64_t width, bool break_words, bool break_hyphens)
      : width_(static_cast<size_t>(width)), break_words_(break_words), break_hyphens_(break_hyphens) {
    for (size_t at = 0; at < line.size();) text_.push_back(next_code_point(line, at));
    split();
  }

  std::vector<std::string> lines() {
    std::vector<std::string> result;
    std::reverse(chunks_.begin(), chunks_.end());
    while (!chunks_.empty()) {
      if (!result.empty() && is_blank(chunks_.back())) chunks_.pop_back();
      std::vector<Span> line;
      size_t length = 0;
      while (!chunks_.empty() && length + chunks_.back().size() <= width_) {
        length += chunks_.back().size();
        line.push_back(chunks_.back());
        chunks_.pop_back();
      }
      if (!chunks_.empty() && chunks_.back().size() > width_) cut_long_word(line, width_ - length);
      if (!line.empty() && is_blank(line.back())) line.pop_back();
      if (line.empty()) continue;
      std::string text;
      for (size_t i = line.front().begin; i < line.back().end; ++i) append_utf8(text, text_[i]);
      result.push_back(std::move(text));
    }
    return result;
  }

 private:
  struct Span {
    size_t begin, end;
    size_t size() const { return end - begin; }
  };

  bool is_blank(Span span) const {
    return std::all_of(text_.begin() + static_cast<std::ptrdiff_t>(span.begin),
                       text_.begin() + static_cast<std::ptrdiff_t>(span.end), is_python_space);
  }

  // The first part of a word that is longer than a line; it must not be dropped for want of room.
  void cut_long_word(std::vector<Span>& line, size_t room) {
    Span& word = chunks_.back();
    if (!break_words_) {
      if (!line.empty()) return;
      line.push_back(word);
      chunks_.pop_back();
      return;
    }
    size_t end = word.begin + room;
    if (break_hyphens_) {
      size_t hyphen = end;
      while (hyphen > word.begin && text_[hyphen - 1] != '-') --hyphen;  // just behind the last one
      const auto first = text_.begin() + static_cast<std::ptrdiff_t>(word.begin);
      const auto before = text_.begin() + static_cast<std::ptrdiff_t>(std::max(hyphen, word.begin + 1) - 1);
      if (std::any_of(first, before, [](char32_t c) { return c != '-'; })) end = hyphen;
    }
    line.push_back({word.begin, end});
    word.begin = end;
  }

  static bool is_space(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  static bool is_word(char32_t c) { return c == '_' || models::is_letter(c) || is_number(c); }
  static bool is_letter(char32_t c) { return is_word(c) && !is_decimal(c); }
  static bool is_word_or_mark(char32_t c) {
    return is_word(c) ||
           (c < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(c)) != std::string_view::npos);
  }
  bool letter_at(size_t at) const { return at < text_.size() && is_letter(text_[at]); }

  // The end of two or more dashes behind a word and before one; `at` if they are not there.
  size_t dash_end(size_t at) const {
    if (at == 0 || at >= text_.size() || text_[at] != '-' || !is_word_or_mark(text_[at - 1])) return at;
    size_t end = at;
    while (end < text_.size() && text_[end] == '-') ++end;
    return end - at >= 2 && end < text_.size() && is_word(text_[end]) ? end : at;
  }

  // A hyphen at `at` after which a word may be cut: letters before it, letters behind it.
  bool is_hyphen(size_t at) const {
    if (at < 2 || at >= text_.size() || text_[at] != '-') return false;
    const bool two = is_letter(text_[at - 1]) && is_letter(text_[at - 2]);
    const bool one = at >= 3 && is_letter(text_[at - 3]) && text_[at - 2] == '-' && is_word_or_mark(text_[at - 1]);
    if ((!two && !one) || !letter_at(at + 1)) return false;
    const bool second_hyphen = at + 2 < text_.size() && text_[at + 2] == '-';
    return letter_at(second_hyphen ? at + 3 : at + 2);
  }

  size_t chunk_end(size_t at) const {
    size_t end = at;
    if (is_space(text_[at])) {
      while (end < text_.size() && is_space(text_[end])) ++end;
      return end;
    }
    if (break_hyphens_ && (end = dash_end(at)) > at) return end;
    for (end = at + 1; end < text_.size() && !is_space(text_[end]); ++end) {
      if (!break_hyphens_) continue;
      if (is_hyphen(end)) return end + 1;
      if (dash_end(end) > end) return end;
    }
    return end;
  }

  void split() {
    for (size_t at = 0; at < text_.size();) {
      const size_t end = chunk_end(at);
      chunks_.push_back({at, end});
      at = end;
    }
  }

  size_t width_;
  bool break_words_, break_hyphens_;
  std::u32string text_;
  std::vector<Span> chunks_;  // words and the space between them
};

Value word_wrap(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("wordwrap", 4, {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  const Value *width = arguments.find(0, "width"), *words = arguments.find(1, "break_long_words"),
              *end = arguments.find(2, "wrapstring"), *hyphens = arguments.find(3, "break_on_hyphens");
  const int64_t most = width == nullptr ? 79 : integer_argument(*width, "wordwrap");
  const std::string& text = string_argument(input, "wordwrap");
  render.spend(static_cast<int64_t>(text.size() / 16));
  if (most <= 0 && !text.empty()) fail("invalid width " + std::to_string(most) + " (must be > 0)");
  const std::string join = end == nullptr || end->is_none() ? "\n" : string_argument(*end, "wordwrap");
  std::string out;
  bool first_line = true;
  for (std::string_view line : lines_of(text, false)) {
    if (!first_line) out += join;
    first_line = false;
    bool first = true;
    for (const std::string& each :
         Wrapper(line, most, words == nullptr || truth(*words), hyphens == nullptr || truth(*hyphens)).lines()) {
      out += (first ? "" : join) + each;
      first = false;
      check_size(out);
    }
  }
  return render.make_text(std::move(out));
}

Value file_size(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("filesizeformat", 1, {"binary"});
  const Value* binary = arguments.find(0, "binary");
  const bool twos = binary != nullptr && truth(*binary);
  if (input.is_undefined()) fail(input.text());
  double bytes = 0;
  if (!number_of(input, bytes)) fail("could not convert " + to_repr(input) + " to a size");
  const double base = twos ? 1024 : 1000;
  if (bytes == 1) return Value::string("1 Byte");
  char text[400];
  if (std::isinf(bytes) && bytes < 0) fail("cannot convert float infinity to integer");
  if (bytes < base) {
    std::snprintf(text, sizeof text, "%.0f Bytes", std::trunc(bytes) + 0.0);
    return render.make_text(text);
  }
  double unit = base;
  size_t prefix = 0;
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  while (prefix + 1 < kPrefixes.size() && !(bytes < unit * base)) {
    unit *= base;
    ++prefix;
  }
  std::snprintf(text, sizeof text, "%.1f ", base * bytes / (unit * base));
  std::string out = text;
  out += twos ? static_cast<char>(std::toupper(kPrefixes[prefix])) : kPrefixes[prefix];
  return render.make_text(out + (twos ? "iB" : "B"));
}

Value xml_attributes(Render& render, const Value& input, Arguments& arguments) {
  arguments.check("xmlattr", 1, {"autospace"});
  const Value* space = arguments.find(0, "autospace");
  if (input.is_undefined()) fail(input.text());
  if (!input.is_dict()) fail("xmlattr expected a dict, not " + type_name(input));
  std::string out;
  for (const auto& [key, value] : input.dict().items) {
    if (value.is_none() || value.is_undefined()) continue;
    const std::string& name = string_argument(key, "xmlattr");
    if (name.find_first_of(" \t\n\v\f\r/>=") != std::string::npos) {
      fail("Invalid character in attribute name: " + to_repr(key));
    }
    const std::string shown = value.is_markup() ? value.text() : escape_html(to_text(value));
    out += (out.empty() ? "" : " ") + (key.is_markup() ? name : escape_html(name)) + "=\"" + shown + "\"";
    check_size(out);
  }
  const bool spaced = space == nullptr || truth(*space);
  return render.make_text((spaced && !out.empty() ? " " : "") + out);
}

template <const char* kName>
Value not_here(Render&, const Value&, Arguments&) {
  fail(std::string("the filter '") + kName + "' of jinja2 is not implemented here; leave it out of the template");
}

constexpr char kStripTags[] = "striptags", kUrlize[] = "urlize";

}  // namespace

const FilterTable& layout_filters() {
  static const FilterTable table = {{"pprint", pretty},
                                    {"wordwrap", word_wrap},
                                    {"filesizeformat", file_size},
                                    {"xmlattr", xml_attributes},
                                    {kStripTags, not_here<kStripTags>},
                                    {kUrlize, not_here<kUrlize>}};
  return table;
}

}  // namespace masbak::models::jinja
