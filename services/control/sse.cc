#include "services/control/sse.h"

namespace masbak::services {

bool SseParser::feed(std::string_view bytes) {
  rest_.append(bytes);
  size_t start = 0;
  for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', start)) {
    std::string_view text(rest_.data() + start, end - start);
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    start = end + 1;
    if (!line(text)) return false;
  }
  rest_.erase(0, start);
  return true;
}

bool SseParser::line(std::string_view text) {
  if (text.empty()) {
    if (!has_data_) return true;
    std::string data = std::move(data_);
    data_.clear();
    has_data_ = false;
    return event_(data);
  }
  constexpr std::string_view field = "data:";
  if (text.substr(0, field.size()) != field) return true;
  text.remove_prefix(field.size());
  if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += text;
  has_data_ = true;
  return true;
}

}  // namespace masbak::services
