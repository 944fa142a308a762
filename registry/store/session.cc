#include "registry/store/session.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/digest.h"
#include "registry/types/audit.h"

namespace masbak::registry {

void Session::check_text(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    base::fail_input("expected text, found a NUL byte at position " + std::to_string(text.find('\0')) +
                     ": store bytes as an artifact");
  }
}

void Session::flush_audit() {
  if (pending_.empty()) return;
  const pqxx::result head = exec("SELECT number, digest FROM audit_head FOR UPDATE");
  AuditRecord record;
  record.number = whole(head[0], "number");
  record.digest = text(head[0], "digest");
  // Read once the lock is granted, so that times never go back along the chain.
  record.time = instant(exec("SELECT micros(clock_timestamp()) AS time")[0], "time");
  record.actor = actor_;
  for (const Pending& pending : pending_) {
    record.number += 1;
    record.previous_digest = record.digest;
    record.action = pending.action;
    record.resource = pending.resource;
    record.detail_json = pending.detail_json;
    record.digest = base::digest_bytes(audit_text(record));
    exec(
        "INSERT INTO audit (number, time_micros, actor, action, resource, detail, digest, previous_digest) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        record.number, to_micros(record.time), record.actor, record.action, record.resource, record.detail_json,
        record.digest, record.previous_digest);
  }
  exec("UPDATE audit_head SET number = $1, digest = $2", record.number, record.digest);
  pending_.clear();
}

void require_digest(const std::string& digest, const std::string& field, bool may_be_empty) {
  if (may_be_empty && digest.empty()) return;
  if (!base::is_digest(digest)) {
    base::fail_input("expected sha256: and 64 hexadecimal digits, found '" + digest + "'", {.field = field});
  }
}

std::string make_etag(const std::vector<std::string>& parts) {
  std::string joined;
  for (const std::string& part : parts) joined += std::to_string(part.size()) + ":" + part;
  return base::digest_bytes(joined).substr(7, 16);
}

void check_etag(const std::string& expected, const std::string& current, const std::string& name) {
  if (expected.empty() || expected == current) return;
  fail(base::Code::kAborted,
       name + " has changed: its etag is " + current + ", not " + expected + "; read it again, then repeat the change");
}

namespace {

std::string seal(const std::string& key, const std::string& list, const std::string& number) {
  const std::string message = list + '\n' + number;
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), mac, &size);
  std::string hex;
  for (unsigned int i = 0; i < 16 && i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[mac[i] >> 4];
    hex += kDigits[mac[i] & 15];
  }
  return hex;
}

}  // namespace

std::string seal_page_token(const std::string& key, const std::string& list, int64_t number) {
  const std::string digits = std::to_string(number);
  return seal(key, list, digits) + digits;
}

int64_t open_page_token(const std::string& key, const std::string& list, const std::string& token) {
  if (token.empty()) return std::numeric_limits<int64_t>::max();
  constexpr size_t kSealSize = 32;
  int64_t number = 0;
  if (token.size() > kSealSize) {
    const std::string digits = token.substr(kSealSize);
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole_number = fault == std::errc() && end == digits.data() + digits.size();
    if (whole_number && seal(key, list, digits) == token.substr(0, kSealSize)) return number;
  }
  base::fail_input(
      "the page token is not one of this list: start again without one, with the same filter for every page",
      {.field = "page_token"});
}

int page_size(const PageRequest& page) {
  if (page.size < 0) {
    base::fail_input("expected a page size of 0 (the default) or more, found " + std::to_string(page.size),
                     {.field = "page_size"});
  }
  return page.size == 0 ? 50 : std::min(page.size, 1000);
}

}  // namespace masbak::registry
