#include "services/middleware/status.h"

#include <cstdlib>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace masbak::services {

grpc::Status to_status(const base::Error& error) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(base::code_name(error.code())));
  info.set_domain("masbak");
  const base::Where& where = error.where();
  if (!where.file.empty()) (*info.mutable_metadata())["file"] = where.file;
  if (where.line > 0) (*info.mutable_metadata())["line"] = std::to_string(where.line);
  if (!where.field.empty()) (*info.mutable_metadata())["field"] = where.field;

  google::rpc::Status details;
  details.set_code(static_cast<int>(error.code()));
  details.set_message(error.what());
  details.add_details()->PackFrom(info);
  return {static_cast<grpc::StatusCode>(error.code()), error.what(), details.SerializeAsString()};
}

base::Error from_status(const grpc::Status& status, const std::string& doing) {
  base::Where where;
  google::rpc::Status details;
  bool ours = false;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      google::rpc::ErrorInfo info;
      if (!detail.UnpackTo(&info)) continue;
      ours = true;
      for (const auto& [key, value] : info.metadata()) {
        if (key == "file") where.file = value;
        if (key == "line") where.line = std::atoi(value.c_str());
        if (key == "field") where.field = value;
      }
    }
  }
  std::string message = ours ? status.error_message() : doing + ": " + status.error_message();
  return {static_cast<base::Code>(status.error_code()), message, where};
}

}  // namespace masbak::services
