#include "registry/store/json.h"

#include <algorithm>

#include "base/text.h"

namespace masbak::registry {

std::string to_valid_text(const std::string& bytes) {
  std::string text = base::with_valid_utf8(bytes);
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

}  // namespace masbak::registry
