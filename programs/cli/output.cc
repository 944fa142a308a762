#include "programs/cli/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <iostream>

#include "base/error.h"

namespace masbak::cli {
namespace {

// Characters, not bytes: good enough for names and numbers.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

}  // namespace

void Table::print(const std::string& empty) const {
  if (rows_.size() == 1) {
    std::cout << empty << "\n";
    return;
  }
  std::vector<size_t> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      std::cout << row[i];
      if (i + 1 < row.size()) std::cout << std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    std::cout << "\n";
  }
}

void print_fields(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t widest = 0;
  for (const auto& [name, value] : fields) widest = std::max(widest, value.empty() ? 0 : width(name));
  for (const auto& [name, value] : fields) {
    if (!value.empty()) std::cout << name << ":" << std::string(widest - width(name) + 2, ' ') << value << "\n";
  }
}

void print_json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok())
    throw base::Error(base::Code::kInternal, "the answer cannot be written as JSON: " + status.ToString());
  std::cout << text;
}

std::string local_time(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "";
  const std::time_t seconds = static_cast<std::time_t>(time.seconds());
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string number(double value) { return value == 0 ? "" : format("%.4g", value); }

std::string bytes(int64_t count) {
  if (count == 0) return "";
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(count);
  size_t unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return format(unit == 0 ? "%.0f " : "%.1f ", value) + units[unit];
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  char text[48];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", static_cast<long long>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld min %02lld s", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld h %02lld min", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60));
  }
  return text;
}

std::string short_digest(const std::string& digest) { return digest.substr(0, 19); }

std::string plain_state(const std::string& enum_name, const std::string& prefix) {
  return enum_name.starts_with(prefix) ? enum_name.substr(prefix.size()) : enum_name;
}

}  // namespace masbak::cli
