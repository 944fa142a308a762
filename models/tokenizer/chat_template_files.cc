#include "models/tokenizer/chat_template_files.h"

#include "base/document.h"
#include "base/durable_file.h"

namespace masbak::models {
namespace {

ChatTemplateSources read_files(const std::filesystem::path& folder) {
  ChatTemplateSources sources;
  auto add = [&](const std::string& name, const std::filesystem::path& file) {
    sources.by_name[name] = {base::read_file(file), {.file = file.string()}};
  };
  std::filesystem::path file = folder / "chat_template.jinja", more = folder / "additional_chat_templates";
  if (std::filesystem::exists(file)) add("default", file);
  if (!std::filesystem::is_directory(more)) return sources;
  for (const auto& entry : std::filesystem::directory_iterator(more)) {
    if (entry.path().extension() != ".jinja") continue;
    sources.named = true;
    add(entry.path().stem().string(), entry.path());
  }
  return sources;
}

ChatTemplateSources read_config(const std::filesystem::path& file) {
  ChatTemplateSources sources;
  if (!std::filesystem::exists(file)) return sources;
  base::Json config = base::read_json(file);
  if (!config.is_object() || !config.contains("chat_template")) return sources;
  const base::Json& value = config["chat_template"];
  const base::Where where{.file = file.string(), .field = "chat_template"};
  auto add = [&](const base::Json& name, const base::Json& text) {
    if (!name.is_string() || !text.is_string()) {
      base::fail_input(
          "expected templates with a name and a text each, found " + name.dump() + " with " + text.type_name(), where);
    }
    sources.by_name[name.get<std::string>()] = {text.get<std::string>(), where};
  };
  if (value.is_null()) return sources;
  if (value.is_string()) {
    add("default", value);
    return sources;
  }
  sources.named = true;
  if (value.is_object()) {
    for (const auto& [name, text] : value.items()) add(name, text);
  } else if (value.is_array()) {
    for (const base::Json& each : value) {
      const bool whole = each.is_object() && each.contains("name") && each.contains("template");
      if (!whole) base::fail_input("expected {\"name\": …, \"template\": …}, found " + each.dump(), where);
      add(each["name"], each["template"]);
    }
  } else {
    base::fail_input(std::string("expected a text or a list of templates with names, found ") + value.type_name(),
                     where);
  }
  return sources;
}

}  // namespace

ChatTemplateSources read_chat_templates(const std::filesystem::path& folder) {
  ChatTemplateSources sources = read_files(folder);
  return sources.by_name.empty() ? read_config(folder / "tokenizer_config.json") : sources;
}

}  // namespace masbak::models
