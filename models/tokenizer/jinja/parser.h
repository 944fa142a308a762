// Tokens to the parsed template.
#pragma once

#include <string_view>

#include "models/tokenizer/jinja/ast.h"
#include "models/tokenizer/jinja/lexer.h"

namespace masbak::models::jinja {

// The language of jinja2 3.1 with its loop-control extension and transformers' generation block.
// Throws SyntaxError, or LimitError for a template that nests too deep.
Template parse_template(std::string_view source);

// Null if there is none of that name (filters.cc, tests.cc).
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
MethodSet find_methods(std::string_view name);
const Value* find_global(const std::string& name);

}  // namespace masbak::models::jinja
