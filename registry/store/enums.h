// States as the database holds them: by name.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace masbak::registry {

// The value from kFirst to kLast whose name, by `name_of`, is `text`. DATA_LOSS if the database holds another.
template <typename Enum, typename NameOf>
Enum parse_enum(std::string_view text, NameOf name_of, int first, int last) {
  for (int value = first; value <= last; ++value) {
    if (name_of(static_cast<Enum>(value)) == text) return static_cast<Enum>(value);
  }
  throw base::Error(base::Code::kDataLoss, "the database holds an unknown state '" + std::string(text) + "'");
}

}  // namespace masbak::registry
