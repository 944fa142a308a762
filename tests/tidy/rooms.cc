// The order of the rooms, as a table: what each may use.

#include <algorithm>
#include <iterator>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

using Names = std::set<std::string>;

// A room is a folder; where parts of a folder differ in what they may use, each part is one.
struct Room {
  std::string folder;
  Names rooms;      // whose headers it may include and whose libraries it may link; itself goes without saying
  Names libraries;  // "torch", "grpc", "pqxx", "qt": the heavy ones, each kept to its rooms
};

const std::vector<Room>& rooms() {
  static const std::vector<Room> all = {
      {"base", {}, {}},
      {"models", {"base"}, {"torch"}},
      {"adapters", {"base", "models"}, {"torch"}},
      {"trainer", {"base", "models", "adapters"}, {"torch"}},
      {"registry", {"base"}, {"pqxx"}},
      {"policies", {"base"}, {}},
      // The part of the services that lives in the worker: it knows models, and nothing of gRPC.
      {"services/inference", {"base", "models", "adapters"}, {"torch"}},
      {"services", {"base", "registry", "policies"}, {"grpc"}},
      {"gui", {"base"}, {"grpc", "qt"}},
      {"programs/worker", {"base", "models", "adapters", "trainer", "policies", "services/inference"}, {"torch"}},
      {"programs/console", {"base", "gui"}, {"grpc", "qt"}},
      {"programs", {"base", "registry", "policies", "services"}, {"grpc"}},
  };
  return all;
}

// The room that a path lies in: the first, and so the most particular, whose folder it begins with.
const Room* room_of(const std::string& path) {
  for (const Room& room : rooms()) {
    if (path.starts_with(room.folder + "/")) return &room;
  }
  return nullptr;
}

std::optional<std::string> library_of_header(const std::string& header) {
  static const std::regex qt("(Qt[A-Z]\\w*/)?Q[A-Z]\\w*");
  for (const char* start : {"torch/", "ATen/", "c10/"}) {
    if (header.starts_with(start)) return "torch";
  }
  for (const char* start : {"grpc/", "grpcpp/", "google/", "masbak/v1/"}) {
    if (header.starts_with(start)) return "grpc";
  }
  if (header.starts_with("pqxx/")) return "pqxx";
  if (std::regex_match(header, qt)) return "qt";
  return std::nullopt;
}

std::optional<std::string> library_of_target(const std::string& target) {
  if (target.starts_with("LibTorch::") || target == "torch") return "torch";
  if (target.starts_with("gRPC::") || target.starts_with("protobuf::") || target == "masbak_proto") return "grpc";
  if (target.starts_with("Pqxx::") || target == "pqxx") return "pqxx";
  if (target.starts_with("Qt6::") || target.starts_with("Qt::")) return "qt";
  return std::nullopt;
}

std::string list(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

// Each program is a folder of its own below programs/.
bool is_of_another_program(const std::string& path, const std::string& header) {
  const std::string start = "programs/";
  if (!path.starts_with(start) || !header.starts_with(start)) return false;
  const std::string own = path.substr(0, path.find('/', start.size()) + 1);
  return !header.starts_with(own);
}

void check_include(const Tree& tree, const std::string& path, int line, bool quoted, const std::string& header,
                   std::vector<Violation>& found) {
  if (header == "torch/torch.h") {
    found.push_back({path, line, "<torch/torch.h> takes 22 s to compile; include <ATen/ATen.h> or less"});
  }
  const Room* user = room_of(path);
  const auto library = library_of_header(header);
  if (quoted && !library && !tree.contains(header) && !header.ends_with(".moc")) {
    found.push_back({path, line, "\"" + header + "\" is no file of the tree; write the path from its root"});
  }
  if (user == nullptr) return;  // tests and benchmarks may use what they test
  if (library && !user->libraries.contains(*library)) {
    found.push_back({path, line,
                     user->folder + " may not use " + *library + " (allowed: " + list(user->libraries) +
                         "), but includes " + header});
  }
  const Room* used = room_of(header);
  const bool other_room = used != nullptr && used != user && !user->rooms.contains(used->folder);
  if (other_room || header.starts_with("tests/") || is_of_another_program(path, header)) {
    found.push_back({path, line, user->folder + " may use only " + list(user->rooms) + ", but includes " + header});
  }
}

// The words of each call of `command` in a CMake file, with the line where it begins.
struct Call {
  int line;
  std::vector<std::string> words;
};

std::vector<Call> calls_of(const std::string& text, const std::string& command) {
  std::vector<Call> calls;
  const std::regex pattern("\\b" + command + "\\s*\\(([^()]*)\\)");
  for (std::sregex_iterator call(text.begin(), text.end(), pattern), end; call != end; ++call) {
    std::istringstream words((*call)[1].str());
    const auto before = text.begin() + call->position();
    calls.push_back({1 + static_cast<int>(std::count(text.begin(), before, '\n')),
                     {std::istream_iterator<std::string>(words), {}}});
  }
  return calls;
}

const Room* room_of_target(const std::string& target) {
  if (!target.starts_with("masbak_")) return nullptr;
  const std::string name = target.substr(std::string("masbak_").size());
  return room_of(name == "inference" ? "services/inference/" : name + "/");
}

void check_link(const std::string& path, int line, const Room& user, const std::string& target,
                std::vector<Violation>& found) {
  if (const auto library = library_of_target(target); library && !user.libraries.contains(*library)) {
    found.push_back({path, line, user.folder + " may not link " + *library + ", but links " + target});
  }
  const Room* used = room_of_target(target);
  if (used != nullptr && used != &user && !user.rooms.contains(used->folder)) {
    found.push_back({path, line, user.folder + " may link only " + list(user.rooms) + ", but links " + target});
  }
}

}  // namespace

std::vector<Violation> check_includes(const Tree& tree) {
  static const std::regex include("\\s*#\\s*include\\s*([<\"])([^>\"]+)[>\"].*");
  std::vector<Violation> found;
  for (const auto& [path, text] : tree) {
    if (!is_cpp(path)) continue;
    int number = 0;
    for (const std::string_view line : lines_of(text)) {
      ++number;
      if (line.find("#") == std::string_view::npos || line.find("include") == std::string_view::npos) continue;
      std::cmatch match;
      if (!std::regex_match(line.data(), line.data() + line.size(), match, include)) continue;
      check_include(tree, path, number, match[1].str() == "\"", match[2].str(), found);
    }
  }
  return found;
}

std::vector<Violation> check_links(const Tree& tree) {
  std::vector<Violation> found;
  for (const auto& [path, text] : tree) {
    if (!path.ends_with("CMakeLists.txt")) continue;
    const Room* room = room_of(path);
    if (room == nullptr) continue;
    const std::string code = without_cmake_comments(text);
    for (const char* command : {"masbak_room", "masbak_program", "target_link_libraries"}) {
      for (const Call& call : calls_of(code, command)) {
        for (size_t i = 1; i < call.words.size(); ++i) check_link(path, call.line, *room, call.words[i], found);
      }
    }
  }
  return found;
}

}  // namespace masbak::tidy
