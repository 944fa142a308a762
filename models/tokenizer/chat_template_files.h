// Which chat templates a model folder holds.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/error.h"

namespace masbak::models {

struct ChatTemplateSource {
  std::string text;
  base::Where where;  // the file, and the field if it stands in a JSON file
};

struct ChatTemplateSources {
  std::map<std::string, ChatTemplateSource> by_name;
  bool named = false;  // several templates with names, of which a conversation can choose
};

// Files (chat_template.jinja, additional_chat_templates/*.jinja) win over tokenizer_config.json, as in transformers.
// INVALID_ARGUMENT if chat_template in tokenizer_config.json is neither text nor templates with names.
ChatTemplateSources read_chat_templates(const std::filesystem::path& folder);

}  // namespace masbak::models
