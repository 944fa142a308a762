#include "services/node/event_tail.h"

#include <fstream>
#include <iterator>

#include "base/document.h"

namespace masbak::services {

namespace {

// 0 for a line that is no event: what a machine that lost its power may leave. The gap that it makes is seen by
// the control plane.
int64_t seq_of(const std::string& line) {
  base::Json json = base::Json::parse(line, nullptr, false);
  if (!json.is_object()) return 0;
  auto seq = json.find("seq");
  return seq != json.end() && seq->is_number_integer() ? seq->get<int64_t>() : 0;
}

}  // namespace

EventTail::Batch EventTail::after(int64_t seq, size_t max_bytes) {
  Batch batch;
  std::ifstream in(file_, std::ios::binary);
  if (!in) return batch;
  if (seq < known_seq_) {
    // The control plane knows less than it did: its database was restored, say.
    known_seq_ = 0;
    known_offset_ = 0;
  }
  in.seekg(static_cast<std::streamoff>(known_offset_));
  size_t bytes = 0;
  uint64_t offset = known_offset_;
  std::string line;
  while (std::getline(in, line) && !in.eof()) {
    offset += line.size() + 1;
    int64_t line_seq = seq_of(line);
    if (line_seq == 0) continue;
    if (line_seq <= seq) {
      known_seq_ = line_seq;
      known_offset_ = offset;
      continue;
    }
    if (!batch.lines.empty() && bytes + line.size() > max_bytes) {
      batch.more = true;
      break;
    }
    bytes += line.size();
    batch.lines.push_back(line);
  }
  return batch;
}

std::string file_tail(const std::filesystem::path& file, size_t max_bytes, int64_t* offset) {
  *offset = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) return "";
  in.seekg(0, std::ios::end);
  auto size = static_cast<int64_t>(in.tellg());
  int64_t start = size > static_cast<int64_t>(max_bytes) ? size - static_cast<int64_t>(max_bytes) : 0;
  in.seekg(start);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (start > 0) {
    size_t line = text.find('\n');
    size_t cut = line == std::string::npos ? 0 : line + 1;
    text.erase(0, cut);
    start += static_cast<int64_t>(cut);
  }
  *offset = start;
  return text;
}

}  // namespace masbak::services
