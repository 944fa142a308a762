// Users and their tokens. A token itself is never stored, only its digest.
#pragma once

#include <string>

#include "registry/types/time.h"

namespace masbak::registry {

struct User {
  std::string name;  // "users/salma"
  std::string role;  // what policies/access knows: "admin", …
  Time create_time{};
};

struct Token {
  std::string digest;  // base::digest_bytes of the token
  std::string user;
  std::string label;
  Time create_time{};
  Time expire_time{};  // unset: never
};

}  // namespace masbak::registry
