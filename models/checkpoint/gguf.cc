#include "models/checkpoint/gguf.h"

#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "models/checkpoint/safetensors.h"

namespace masbak::models {
namespace {

using base::Code;
using base::Error;

constexpr int kMaxDimensions = 4;  // GGML_MAX_DIMS
constexpr int kMaxArrayDepth = 4;  // arrays of arrays: none is in use, a hostile file could nest for ever
// Far above any vocabulary; an array item takes more memory here than in the file, so there is a limit.
constexpr uint64_t kMaxArrayItems = 1 << 22;

// The numbers of metadata value types.
enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// Reads forward through the bytes; every read is checked against the end.
class Cursor {
 public:
  Cursor(std::string_view bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  std::string_view take(uint64_t count, const char* what) {
    if (count > bytes_.size() - at_) {
      throw Error(Code::kInvalidArgument,
                  std::string("the file ends in the middle of ") + what + ": " + std::to_string(count) +
                      " bytes expected, " + std::to_string(bytes_.size() - at_) +
                      " left; it is truncated or damaged, fetch it again",
                  {file_});
    }
    const std::string_view piece = bytes_.substr(at_, count);
    at_ += count;
    return piece;
  }

  template <typename T>
  T number(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string text(const char* what) { return std::string(take(number<uint64_t>(what), what)); }

  // A count of things that take at least `smallest` bytes each: refused before anything is reserved.
  uint64_t count(uint64_t smallest, const char* what) {
    const uint64_t value = number<uint64_t>(what);
    if (value > (bytes_.size() - at_) / smallest) {
      throw Error(Code::kInvalidArgument,
                  std::string("the file announces ") + std::to_string(value) + " " + what +
                      ", more than fit in its remaining " + std::to_string(bytes_.size() - at_) +
                      " bytes; it is truncated or damaged",
                  {file_});
    }
    return value;
  }

  uint64_t position() const { return at_; }

 private:
  std::string_view bytes_;
  std::string file_;
  size_t at_ = 0;
};

uint64_t smallest_bytes(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool: return 1;
    case kU16:
    case kI16: return 2;
    case kU32:
    case kI32:
    case kF32: return 4;
    case kArray: return 12;
    default: return 8;
  }
}

GgufValue read_value(Cursor& cursor, uint32_t type, const base::Where& where, int depth = 0) {
  const auto integer = [](auto value) { return GgufValue{static_cast<int64_t>(value)}; };
  switch (type) {
    case kU8: return integer(cursor.number<uint8_t>("a metadata value"));
    case kI8: return integer(cursor.number<int8_t>("a metadata value"));
    case kU16: return integer(cursor.number<uint16_t>("a metadata value"));
    case kI16: return integer(cursor.number<int16_t>("a metadata value"));
    case kU32: return integer(cursor.number<uint32_t>("a metadata value"));
    case kI32: return integer(cursor.number<int32_t>("a metadata value"));
    case kI64: return integer(cursor.number<int64_t>("a metadata value"));
    case kF32: return {static_cast<double>(cursor.number<float>("a metadata value"))};
    case kF64: return {cursor.number<double>("a metadata value")};
    case kString: return {cursor.text("a metadata text")};
    case kU64: {
      const auto value = cursor.number<uint64_t>("a metadata value");
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        base::fail_input("the metadata value " + std::to_string(value) + " is out of range", where);
      }
      return integer(value);
    }
    case kBool: {
      const auto value = cursor.number<uint8_t>("a metadata value");
      if (value > 1) base::fail_input("a truth value must be 0 or 1, found " + std::to_string(value), where);
      return {value == 1};
    }
    case kArray: {
      if (depth >= kMaxArrayDepth) base::fail_input("metadata arrays are nested too deeply", where);
      const auto item_type = cursor.number<uint32_t>("a metadata array");
      const uint64_t count = cursor.count(smallest_bytes(item_type), "array items");
      if (count > kMaxArrayItems) {
        base::fail_input("a metadata array has " + std::to_string(count) + " items, above the limit of " +
                             std::to_string(kMaxArrayItems),
                         where);
      }
      std::vector<GgufValue> items;
      items.reserve(count);
      for (uint64_t i = 0; i < count; ++i) items.push_back(read_value(cursor, item_type, where, depth + 1));
      return {std::move(items)};
    }
    default: base::fail_input("metadata value type " + std::to_string(type) + " is not one of GGUF's 0 to 12", where);
  }
}

void check_version(uint32_t version, const std::string& file) {
  if (version == 2 || version == 3) return;
  const bool big_endian = version != 0 && (version & 0xffff) == 0;
  throw Error(Code::kUnimplemented,
              big_endian ? "a big-endian GGUF file; convert it to little-endian"
                         : "GGUF version " + std::to_string(version) +
                               " cannot be read, only 2 and 3; convert the model again with a current tool",
              {file});
}

GgufType check_type(uint32_t type, const base::Where& where) {
  for (GgufType known :
       {GgufType::kF32, GgufType::kF16, GgufType::kQ4_0, GgufType::kQ4_1, GgufType::kQ8_0, GgufType::kBF16}) {
    if (static_cast<uint32_t>(known) == type) return known;
  }
  throw Error(Code::kUnimplemented,
              "the tensor's element type is number " + std::to_string(type) +
                  " of GGUF, and only F32, F16, BF16, Q8_0, Q4_0 and Q4_1 can be read; use a file in one of these",
              where);
}

struct PlacedTensor {
  GgufTensor tensor;
  uint64_t offset = 0, bytes = 0;
};

PlacedTensor read_tensor_entry(Cursor& cursor, const std::string& file) {
  PlacedTensor placed;
  placed.tensor.name = cursor.text("a tensor's name");
  const base::Where where{file, 0, placed.tensor.name};
  const auto dimensions = cursor.number<uint32_t>("a tensor's shape");
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    base::fail_input("a tensor must have 1 to 4 dimensions, found " + std::to_string(dimensions), where);
  }
  uint64_t numbers = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.number<uint64_t>("a tensor's shape");
    if (size < 1 || size > (uint64_t{1} << 48) / numbers) {
      base::fail_input("the size " + std::to_string(size) + " in a tensor's shape is out of range", where);
    }
    numbers *= size;
    placed.tensor.shape.insert(placed.tensor.shape.begin(), static_cast<int64_t>(size));
  }
  placed.tensor.type = check_type(cursor.number<uint32_t>("a tensor's type"), where);
  placed.offset = cursor.number<uint64_t>("a tensor's offset");
  const GgufBlock block = gguf_block(placed.tensor.type);
  if (placed.tensor.shape.back() % block.numbers != 0) {
    base::fail_input("a row of " + std::to_string(placed.tensor.shape.back()) + " numbers is no multiple of the " +
                         std::to_string(block.numbers) + " in a block of " +
                         std::string(gguf_type_name(placed.tensor.type)),
                     where);
  }
  placed.bytes = numbers / block.numbers * block.bytes;
  return placed;
}

uint64_t alignment_of(const std::map<std::string, GgufValue>& metadata, const std::string& file) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const auto* value = std::get_if<int64_t>(&found->second.value);
  if (!value || *value < 1 || *value > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(*value))) {
    base::fail_input("general.alignment must be a power of two up to 1 MiB", {file, 0, "general.alignment"});
  }
  return static_cast<uint64_t>(*value);
}

[[noreturn]] void fail_type(const std::string& file, const std::string& key, const char* wanted) {
  base::fail_input(std::string("the metadata value must be ") + wanted, {file, 0, key});
}

template <typename T>
const T& typed(const GgufValue& value, const std::string& file, const std::string& key, const char* wanted) {
  const T* found = std::get_if<T>(&value.value);
  if (!found) fail_type(file, key, wanted);
  return *found;
}

template <typename T>
std::vector<T> typed_list(const GgufValue& value, const std::string& file, const std::string& key, const char* wanted) {
  std::vector<T> list;
  for (const GgufValue& item : typed<std::vector<GgufValue>>(value, file, key, wanted)) {
    list.push_back(typed<T>(item, file, key, wanted));
  }
  return list;
}

}  // namespace

int64_t GgufTensor::numel() const {
  int64_t total = 1;
  for (int64_t size : shape) total *= size;
  return total;
}

GgufFile::GgufFile(const std::filesystem::path& file) : map_(std::make_shared<const base::MappedFile>(file)) {
  const std::string_view bytes = map_->bytes();
  Cursor cursor(bytes, file.string());
  if (bytes.substr(0, 4) != "GGUF") {
    base::fail_input("a GGUF file begins with the letters GGUF; this file is another format, or empty",
                     {file.string()});
  }
  cursor.take(4, "the magic number");
  check_version(cursor.number<uint32_t>("the version"), file.string());
  const uint64_t tensor_count = cursor.count(24, "tensors"), value_count = cursor.count(13, "metadata values");
  for (uint64_t i = 0; i < value_count; ++i) {
    const std::string key = cursor.text("a metadata key");
    const base::Where where{file.string(), 0, key};
    const auto type = cursor.number<uint32_t>("a metadata value's type");
    if (!metadata_.emplace(key, read_value(cursor, type, where)).second) {
      base::fail_input("the metadata holds this key twice", where);
    }
  }
  std::vector<PlacedTensor> placed;
  for (uint64_t i = 0; i < tensor_count; ++i) placed.push_back(read_tensor_entry(cursor, file.string()));
  const uint64_t alignment = alignment_of(metadata_, file.string());
  const uint64_t begin = (cursor.position() + alignment - 1) / alignment * alignment;
  const uint64_t data_bytes = bytes.size() > begin ? bytes.size() - begin : 0;
  for (PlacedTensor& one : placed) {
    const base::Where where{file.string(), 0, one.tensor.name};
    if (one.offset % alignment != 0) {
      base::fail_input("the tensor's offset " + std::to_string(one.offset) + " is no multiple of the alignment " +
                           std::to_string(alignment),
                       where);
    }
    if (one.offset > data_bytes || one.bytes > data_bytes - one.offset) {
      throw Error(Code::kInvalidArgument,
                  "the tensor should lie in bytes " + std::to_string(one.offset) + " to " +
                      std::to_string(one.offset + one.bytes) + " of the data, but the file holds only " +
                      std::to_string(data_bytes) + "; it is truncated, fetch it again",
                  where);
    }
    one.tensor.bytes = bytes.substr(begin + one.offset, one.bytes);
    if (!tensors_.emplace(one.tensor.name, one.tensor).second)
      base::fail_input("the file holds this tensor twice", where);
  }
}

const GgufTensor& GgufFile::tensor(const std::string& name, const std::vector<int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw Error(Code::kNotFound, "the file lacks this tensor, which its architecture needs",
                {path().string(), 0, name});
  }
  if (found->second.shape != shape) {
    base::fail_input("the tensor's shape does not fit the metadata: expected " + shape_text(shape) + ", found " +
                         shape_text(found->second.shape),
                     {path().string(), 0, name});
  }
  return found->second;
}

template <typename T>
T GgufFile::get(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) base::fail_input("the file's metadata lack this key", {path().string(), 0, key});
  const GgufValue& value = found->second;
  const std::string file = path().string();
  if constexpr (std::is_same_v<T, bool>) {
    return typed<bool>(value, file, key, "true or false");
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return typed<int64_t>(value, file, key, "a whole number");
  } else if constexpr (std::is_same_v<T, double>) {
    if (const auto* integer = std::get_if<int64_t>(&value.value)) return static_cast<double>(*integer);
    return typed<double>(value, file, key, "a number");
  } else if constexpr (std::is_same_v<T, std::string>) {
    return typed<std::string>(value, file, key, "a text");
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    return typed_list<std::string>(value, file, key, "a list of texts");
  } else {
    return typed_list<int64_t>(value, file, key, "a list of whole numbers");
  }
}

template bool GgufFile::get<bool>(const std::string&) const;
template int64_t GgufFile::get<int64_t>(const std::string&) const;
template double GgufFile::get<double>(const std::string&) const;
template std::string GgufFile::get<std::string>(const std::string&) const;
template std::vector<std::string> GgufFile::get<std::vector<std::string>>(const std::string&) const;
template std::vector<int64_t> GgufFile::get<std::vector<int64_t>>(const std::string&) const;

}  // namespace masbak::models
