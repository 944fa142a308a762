#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace masbak::base {
namespace {

std::mutex mutex;
std::shared_ptr<spdlog::logger> current;  // guarded by mutex

// The level's name as MASBAK_LOG takes it; spdlog's own says "warning".
class LevelName : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string_view name = message.level == spdlog::level::debug  ? "debug"
                                  : message.level == spdlog::level::info ? "info"
                                  : message.level == spdlog::level::warn ? "warn"
                                                                         : "error";
    out.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelName>(); }
};

std::shared_ptr<spdlog::logger> make_logger(const std::string& component) {
  auto logger = std::make_shared<spdlog::logger>(component, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<LevelName>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %* %n: %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

std::shared_ptr<spdlog::logger> logger() {
  const std::lock_guard lock(mutex);
  if (!current) current = make_logger("masbak");
  return current;
}

void write(spdlog::level::level_enum level, std::string_view message) {
  // One message is one line, so that a log can be read line by line whatever a message quotes.
  std::string line(message);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  logger()->log(level, "{}", line);
}

}  // namespace

void start_logging(const std::string& component) {
  auto fresh = make_logger(component);
  const char* variable = std::getenv("MASBAK_LOG");
  const std::string level = variable == nullptr || *variable == '\0' ? "info" : variable;
  bool known = true;
  if (level == "debug") {
    fresh->set_level(spdlog::level::debug);
  } else if (level == "warn") {
    fresh->set_level(spdlog::level::warn);
  } else if (level == "error") {
    fresh->set_level(spdlog::level::err);
  } else {
    known = level == "info";
    fresh->set_level(spdlog::level::info);
  }
  {
    const std::lock_guard lock(mutex);
    current = std::move(fresh);
  }
  if (!known) log_warn("MASBAK_LOG is '" + level + "', which is none of debug, info, warn, error; using info");
}

void log_debug(std::string_view message) { write(spdlog::level::debug, message); }
void log_info(std::string_view message) { write(spdlog::level::info, message); }
void log_warn(std::string_view message) { write(spdlog::level::warn, message); }
void log_error(std::string_view message) { write(spdlog::level::err, message); }

}  // namespace masbak::base
