// The tables of filters, by subject.
#pragma once

#include <string_view>
#include <unordered_map>

#include "models/tokenizer/jinja/ast.h"

namespace masbak::models::jinja {

using FilterTable = std::unordered_map<std::string_view, Filter>;
const FilterTable& text_filters();
const FilterTable& layout_filters();
const FilterTable& sequence_filters();
const FilterTable& selection_filters();

}  // namespace masbak::models::jinja
