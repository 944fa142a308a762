#include "registry/store/json.h"

namespace masbak::registry {

std::string to_valid_text(const std::string& bytes) {
  std::string text = bytes;
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  const std::string quoted = base::Json(text).dump(-1, ' ', false, base::Json::error_handler_t::replace);
  return base::Json::parse(quoted).get<std::string>();
}

}  // namespace masbak::registry
