// The house rules as functions over a source tree in memory: each gives every violation it finds. The same functions
// run on the real tree (house_rules_test.cc) and on small trees with a planted violation (planted_test.cc).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace masbak::tidy {

// Path relative to the root of the sources → text. Only text files.
using Tree = std::map<std::string, std::string>;

struct Violation {
  std::string path;
  int line = 0;  // from 1; 0: the file as a whole
  std::string message;
};

// "path:line: message" lines, for the output of a failed test.
std::string describe(const std::vector<Violation>& violations);

// The files that git tracks below `root`; in an unpacked archive, all files but hidden ones and build folders.
Tree read_tree(const std::filesystem::path& root);

std::vector<std::string_view> lines_of(std::string_view text);
// The same text with comments and the insides of literals replaced by blanks, line breaks kept (C++).
std::string without_comments_and_literals(std::string_view text);
// "#" comments replaced by nothing (CMake).
std::string without_cmake_comments(std::string_view text);
bool is_cpp(const std::string& path);

// Files or functions that are longer than allowed, with the length they may not exceed: a ratchet, which only gets
// smaller. An entry that is no longer needed is itself a violation.
using Ratchet = std::map<std::string, int>;

// What a room may include and link, and where the headers of each library may be used.
std::vector<Violation> check_includes(const Tree& tree);
std::vector<Violation> check_links(const Tree& tree);

// Lines of at most 120 characters, files of at most 500 lines, functions of at most 80.
std::vector<Violation> check_line_lengths(const Tree& tree);
std::vector<Violation> check_file_lengths(const Tree& tree, const Ratchet& ratchet);
std::vector<Violation> check_function_lengths(const Tree& tree, const Ratchet& ratchet);

// Sources that no target builds, headers that nothing includes, CMake modules that nothing uses.
std::vector<Violation> check_dead_files(const Tree& tree);

// Places of one machine, and marks of unfinished work.
std::vector<Violation> check_forbidden_words(const Tree& tree);
// One page in each room says what lives there.
std::vector<Violation> check_readmes(const Tree& tree);

}  // namespace masbak::tidy
