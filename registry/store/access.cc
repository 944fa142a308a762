// Users and their tokens.
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kValid[] = "t.revoke_time IS NULL AND (t.expire_time IS NULL OR t.expire_time > clock_timestamp())";

User parse_user(const pqxx::row& row) {
  return {.name = text(row, "name"), .role = text(row, "role"), .create_time = instant(row, "created")};
}

Token parse_token(const pqxx::row& row) {
  return {.digest = text(row, "digest"),
          .user = text(row, "user_name"),
          .label = text(row, "label"),
          .create_time = instant(row, "created"),
          .expire_time = instant(row, "expires")};
}

}  // namespace

std::optional<User> Reader::find_user_of_token(const std::string& token_digest) const {
  const pqxx::result rows =
      session().exec(std::string("SELECT u.*, micros(u.create_time) AS created FROM tokens t "
                                 "JOIN users u ON u.name = t.user_name WHERE t.digest = $1 AND ") +
                         kValid,
                     token_digest);
  if (rows.empty()) return std::nullopt;
  return parse_user(rows[0]);
}

User Reader::get_user(const std::string& name) const {
  id_of("users", name);
  const pqxx::result rows = session().exec("SELECT *, micros(create_time) AS created FROM users WHERE name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name);
  return parse_user(rows[0]);
}

std::vector<User> Reader::all_users() const {
  std::vector<User> users;
  for (const pqxx::row& row : session().exec("SELECT *, micros(create_time) AS created FROM users ORDER BY name")) {
    users.push_back(parse_user(row));
  }
  return users;
}

std::vector<Token> Reader::tokens_of(const std::string& user) const {
  std::vector<Token> tokens;
  for (const pqxx::row& row :
       session().exec(std::string("SELECT t.*, micros(t.create_time) AS created, micros(t.expire_time) AS expires "
                                  "FROM tokens t WHERE t.user_name = $1 AND ") +
                          kValid + " ORDER BY t.create_time, t.digest",
                      user)) {
    tokens.push_back(parse_token(row));
  }
  return tokens;
}

User Writer::put_user(const std::string& name, const std::string& role) {
  id_of("users", name);
  const pqxx::result changed = session().exec(
      "INSERT INTO users (name, role) VALUES ($1, $2) "
      "ON CONFLICT (name) DO UPDATE SET role = excluded.role WHERE users.role <> excluded.role RETURNING 1",
      name, role);
  if (!changed.empty()) session().record("user.put", name, {{"role", role}});
  return get_user(name);
}

Token Writer::create_token(const Token& token) {
  require_digest(token.digest, "digest");
  get_user(token.user);
  const pqxx::result added = session().exec(
      "INSERT INTO tokens (digest, user_name, label, expire_time) "
      "VALUES ($1, $2, $3, CASE WHEN $4::bigint = 0 THEN NULL ELSE to_timestamp($4::bigint / 1000000.0) END) "
      "ON CONFLICT DO NOTHING RETURNING digest, user_name, label, micros(create_time) AS created, "
      "micros(expire_time) AS expires",
      token.digest, token.user, token.label, to_micros(token.expire_time));
  if (added.empty()) fail(base::Code::kAlreadyExists, "a token with this digest exists: make a new one");
  session().record("token.create", token.user, {{"token_digest", token.digest}, {"label", token.label}});
  return parse_token(added[0]);
}

void Writer::revoke_token(const std::string& token_digest) {
  const pqxx::result revoked = session().exec(
      "UPDATE tokens SET revoke_time = now() WHERE digest = $1 AND revoke_time IS NULL RETURNING user_name",
      token_digest);
  if (revoked.empty()) fail(base::Code::kNotFound, "there is no valid token with the digest " + token_digest);
  session().record("token.revoke", text(revoked[0], "user_name"), {{"token_digest", token_digest}});
}

}  // namespace masbak::registry
