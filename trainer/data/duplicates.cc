#include "trainer/data/duplicates.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string_view>

#include "base/digest.h"

namespace masbak::trainer {
namespace {

using base::Json;

constexpr size_t kBands = 32, kRowsOfBand = 4;
constexpr size_t kWordsOfShingle = 3;

struct NearRow {
  uint32_t line;
  Signature signature;
};

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// Multiply-shift hashing: an odd number of its own for each place of a signature.
const std::array<uint64_t, std::tuple_size_v<Signature>>& factors() {
  static const auto numbers = [] {
    std::array<uint64_t, std::tuple_size_v<Signature>> result{};
    for (size_t k = 0; k < result.size(); ++k) result[k] = mix(0x9e3779b97f4a7c15ULL * (k + 1)) | 1;
    return result;
  }();
  return numbers;
}

uint64_t hash_word(std::string_view word) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : word) {
    const bool upper = c >= 'A' && c <= 'Z';
    hash = (hash ^ static_cast<unsigned char>(upper ? c + ('a' - 'A') : c)) * 0x100000001b3ULL;
  }
  return mix(hash);
}

void add_words(std::string_view text, std::vector<uint64_t>* words) {
  constexpr std::string_view kSpace = " \t\r\n";
  for (size_t begin = text.find_first_not_of(kSpace); begin != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
    words->push_back(hash_word(text.substr(begin, end - begin)));
    begin = text.find_first_not_of(kSpace, end);
  }
}

// All texts of a value, in order.
void add_texts(const Json& value, std::vector<uint64_t>* words) {
  if (value.is_string()) add_words(value.get_ref<const std::string&>(), words);
  if (value.is_structured()) {
    for (const Json& item : value) add_texts(item, words);
  }
}

}  // namespace

ContentKey content_key(const Conversation& row) {
  Json json{{"messages", row.messages},   {"tools", row.tools}, {"chosen", row.chosen}, {"rejected", row.rejected},
            {"desirable", row.desirable}, {"text", row.text},   {"ids", row.ids},       {"labels", row.labels}};
  const std::string digest = base::digest_bytes(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  const std::string hex = digest.substr(digest.find(':') + 1);
  return {std::stoull(hex.substr(0, 16), nullptr, 16),
          static_cast<uint32_t>(std::stoul(hex.substr(16, 8), nullptr, 16))};
}

Signature signature_of(const Conversation& row) {
  std::vector<uint64_t> words;
  for (const Json* part : {&row.messages, &row.chosen, &row.rejected}) {
    if (part->is_null()) continue;
    for (const Json& message : *part) {
      for (const char* key : {"content", "tool_calls"}) {
        if (message.contains(key)) add_texts(message[key], &words);
      }
    }
  }
  add_words(row.text, &words);
  for (const int32_t id : row.ids) words.push_back(mix(static_cast<uint64_t>(id) + 1));
  Signature result;
  result.fill(std::numeric_limits<uint32_t>::max());
  const size_t length = std::max<size_t>(1, std::min(kWordsOfShingle, words.size()));
  for (size_t i = 0; i + length <= words.size(); ++i) {
    uint64_t shingle = 0;
    for (size_t k = 0; k < length; ++k) shingle = mix(shingle * 3 + words[i + k]);
    for (size_t k = 0; k < result.size(); ++k) {
      result[k] = std::min(result[k], static_cast<uint32_t>((shingle * factors()[k]) >> 32));
    }
  }
  return result;
}

Duplicates::Duplicates(Deduplicate deduplicate, double threshold) : deduplicate_(deduplicate), threshold_(threshold) {
  if (deduplicate == Deduplicate::kNear) near_.emplace();
}

std::optional<Twin> Duplicates::add(ContentKey key, const Signature& signature, int line) {
  if (const uint32_t earlier = exact_.find_or_add({key.high, key.low}, static_cast<uint32_t>(line)); earlier != 0) {
    return Twin{static_cast<int>(earlier), true, 1.0};
  }
  if (deduplicate_ != Deduplicate::kNear) return std::nullopt;
  return add_near(signature, line);
}

std::optional<Twin> Duplicates::add_near(const Signature& signature, int line) {
  const auto row_at = [&](uint32_t index) {
    NearRow row;
    std::memcpy(&row, near_->rows.data() + (index - 1) * sizeof(NearRow), sizeof row);
    return row;
  };
  std::array<ScratchTable::Key, kBands> keys;
  for (size_t band = 0; band < kBands; ++band) {
    uint64_t hash = band + 1;
    for (size_t k = 0; k < kRowsOfBand; ++k) hash = mix(hash * 5 + signature[band * kRowsOfBand + k]);
    keys[band] = {hash, static_cast<uint32_t>(band)};
  }
  std::optional<Twin> best;
  for (const ScratchTable::Key& key : keys) {
    const uint32_t other = near_->bands.find(key);
    if (other == 0) continue;
    const NearRow candidate = row_at(other);
    const auto equal = std::inner_product(signature.begin(), signature.end(), candidate.signature.begin(), 0,
                                          std::plus<>(), [](uint32_t a, uint32_t b) { return a == b ? 1 : 0; });
    const double similarity = static_cast<double>(equal) / static_cast<double>(signature.size());
    if (similarity >= threshold_ && (!best || similarity > best->similarity)) {
      best = Twin{static_cast<int>(candidate.line), false, similarity};
    }
  }
  if (best) return best;
  const uint32_t own = ++near_->count;
  if (near_->rows.size() < own * sizeof(NearRow)) near_->rows.grow(2 * near_->rows.size());
  const NearRow row{static_cast<uint32_t>(line), signature};
  std::memcpy(near_->rows.data() + (own - 1) * sizeof(NearRow), &row, sizeof row);
  for (const ScratchTable::Key& key : keys) near_->bands.find_or_add(key, own);
  return std::nullopt;
}

}  // namespace masbak::trainer
