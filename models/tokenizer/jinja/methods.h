// Tables of the methods of values.
#pragma once

#include <string_view>
#include <unordered_map>

#include "models/tokenizer/jinja/render.h"

namespace masbak::models::jinja {

using MethodTable = std::unordered_map<std::string_view, Method>;
const MethodTable& string_methods();

}  // namespace masbak::models::jinja
