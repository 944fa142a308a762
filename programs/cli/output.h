// What the commands print: tables for people, JSON for scripts.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <utility>
#include <vector>

namespace masbak::cli {

// Columns as wide as their widest cell; the last one is not padded. Nothing but a hint for an empty table.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // `empty` says what to do when there is nothing to show.
  void print(const std::string& empty) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "name:  value" lines, aligned; empty values are left out.
void print_fields(const std::vector<std::pair<std::string, std::string>>& fields);

// protobuf's JSON mapping with the field names of the .proto files.
void print_json(const google::protobuf::Message& message);

std::string local_time(const google::protobuf::Timestamp& time);  // "2026-05-01 10:00:00"; "" if unset
std::string number(double value);                                 // four significant digits; "" for 0
std::string bytes(int64_t count);                                 // "1.5 GiB"
std::string duration(double seconds);                             // "1 h 05 min", "12 s"
std::string short_digest(const std::string& digest);              // "sha256:0123456789ab"

// "JOB_STATE_RUNNING" → "RUNNING".
std::string plain_state(const std::string& enum_name, const std::string& prefix);

}  // namespace masbak::cli
