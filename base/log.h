// Logging to standard error through spdlog: "2026-05-01T10:00:00.000000Z info component: message".
#pragma once

#include <string>
#include <string_view>

namespace masbak::base {

// Call once in main. `component` names the program. MASBAK_LOG=debug|info|warn|error sets the level
// (info if unset).
void start_logging(const std::string& component);

void log_debug(std::string_view message);
void log_info(std::string_view message);
void log_warn(std::string_view message);
void log_error(std::string_view message);

}  // namespace masbak::base
