// The boundary of a program: what every main does around its work.
#pragma once

#include <functional>
#include <string>

namespace masbak::base {

// Runs `work`. An Error becomes one line "error: CODE: …" on standard error and exit status 2 or 1;
// any other exception becomes INTERNAL, exit status 1. SIGPIPE is ignored.
int run_program(const std::string& name, const std::function<int()>& work);

// A file descriptor-free stop flag: SIGINT and SIGTERM set it. Call install once in main.
void install_stop_signals();
bool stop_requested();
void request_stop();

}  // namespace masbak::base
