// Server-sent events (WHATWG HTML, 9.2), as far as the OpenAI API uses them: `data:` lines.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace masbak::services {

// Bytes in as they come, the data of whole events out.
class SseParser {
 public:
  // `event` gets the data of each event; several data lines of one are joined by line breaks. False from it
  // ends the feeding, and feed() returns false.
  explicit SseParser(std::function<bool(const std::string&)> event) : event_(std::move(event)) {}
  bool feed(std::string_view bytes);

 private:
  bool line(std::string_view text);

  std::function<bool(const std::string&)> event_;
  std::string rest_;  // of a line that is not yet whole
  std::string data_;
  bool has_data_ = false;
};

}  // namespace masbak::services
