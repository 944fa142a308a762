#include "models/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

namespace masbak::models {
namespace {

using base::Code;
using base::Error;
using base::Json;

static_assert(std::endian::native == std::endian::little, "tensor data is used where it lies, in little-endian order");

// The limit that the reference implementation sets, so that a hostile length cannot exhaust memory.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  size_t bytes;
};
constexpr std::array<DtypeRow, 11> kDtypes{{
    {Dtype::kF64, "F64", 8},
    {Dtype::kF32, "F32", 4},
    {Dtype::kF16, "F16", 2},
    {Dtype::kBF16, "BF16", 2},
    {Dtype::kF8E4M3, "F8_E4M3", 1},
    {Dtype::kI64, "I64", 8},
    {Dtype::kI32, "I32", 4},
    {Dtype::kI16, "I16", 2},
    {Dtype::kI8, "I8", 1},
    {Dtype::kU8, "U8", 1},
    {Dtype::kBool, "BOOL", 1},
}};

const DtypeRow& row_of(Dtype dtype) {
  for (const DtypeRow& row : kDtypes) {
    if (row.dtype == dtype) return row;
  }
  throw Error(Code::kInternal, "a tensor has a dtype outside the table");
}

// The bytes of a shape, refusing a negative size or an overflow.
uint64_t checked_bytes(const std::vector<int64_t>& shape, size_t item_bytes, const base::Where& where) {
  uint64_t total = item_bytes;
  for (int64_t size : shape) {
    if (size < 0) base::fail_input("a tensor's shape has a negative size, " + std::to_string(size), where);
    if (size != 0 && total > std::numeric_limits<uint64_t>::max() / static_cast<uint64_t>(size)) {
      base::fail_input("a tensor's shape needs more bytes than 64 bits can count", where);
    }
    total *= static_cast<uint64_t>(size);
  }
  return total;
}

// Splits the file into header and data; checks the lengths.
std::pair<std::string_view, std::string_view> split_file(std::string_view bytes, const std::string& file) {
  if (bytes.size() < 8) {
    throw Error(Code::kInvalidArgument,
                "a safetensors file begins with 8 bytes of header length, but this one has " +
                    std::to_string(bytes.size()) + " bytes; fetch it again",
                {file});
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > kMaxHeaderBytes) {
    base::fail_input(
        "the header length " + std::to_string(length) + " is above the limit of 100 MB; this is no safetensors file",
        {file});
  }
  if (length > bytes.size() - 8) {
    throw Error(Code::kInvalidArgument,
                "the header should have " + std::to_string(length) + " bytes, but the file ends after " +
                    std::to_string(bytes.size() - 8) + "; it is truncated, fetch it again",
                {file});
  }
  return {bytes.substr(8, length), bytes.substr(8 + length)};
}

uint64_t unsigned_number(const Json& value, const std::string& what, const base::Where& where) {
  if (!value.is_number_unsigned()) base::fail_input(what + " must be a whole number of at least 0", where);
  return value.get<uint64_t>();
}

// One entry of the header, and where its data lie.
struct Entry {
  TensorView view;
  uint64_t begin = 0, end = 0;
};

Entry parse_entry(const std::string& name, const Json& json, const std::string& file) {
  const base::Where where{file, 0, name};
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets")) {
    base::fail_input("a tensor's header entry must have dtype, shape and data_offsets", where);
  }
  const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
  if (!dtype.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) {
    base::fail_input("a tensor's dtype must be text, its shape a list and its data_offsets two numbers", where);
  }
  Entry entry;
  entry.view.name = name;
  try {
    entry.view.dtype = parse_dtype(dtype.get_ref<const std::string&>());
  } catch (const Error& fault) {
    throw Error(fault.code(), fault.what(), where);
  }
  for (const Json& size : shape) {
    const uint64_t number = unsigned_number(size, "a size in a tensor's shape", where);
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      base::fail_input("a size in a tensor's shape is out of range", where);
    }
    entry.view.shape.push_back(static_cast<int64_t>(number));
  }
  entry.begin = unsigned_number(offsets[0], "a data offset", where);
  entry.end = unsigned_number(offsets[1], "a data offset", where);
  const uint64_t expected = checked_bytes(entry.view.shape, dtype_bytes(entry.view.dtype), where);
  if (entry.end < entry.begin || entry.end - entry.begin != expected) {
    base::fail_input("the shape needs " + std::to_string(expected) + " bytes, but data_offsets are [" +
                         std::to_string(entry.begin) + ", " + std::to_string(entry.end) + "]",
                     where);
  }
  return entry;
}

// Data must follow each other without overlap and without a hole, as the format asks.
void check_layout(const std::vector<Entry>& entries, uint64_t data_bytes, const std::string& file) {
  uint64_t position = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != position) {
      base::fail_input("the data of a tensor should begin at offset " + std::to_string(position) + ", but begin at " +
                           std::to_string(entry.begin) + (entry.begin < position ? " (an overlap)" : " (a hole)"),
                       {file, 0, entry.view.name});
    }
    if (entry.end > data_bytes) {
      throw Error(Code::kInvalidArgument,
                  "the tensor ends at byte " + std::to_string(entry.end) + " of the data, but the file holds only " +
                      std::to_string(data_bytes) + "; it is truncated, fetch it again",
                  {file, 0, entry.view.name});
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    base::fail_input("the header describes " + std::to_string(position) + " bytes of data, but the file holds " +
                         std::to_string(data_bytes),
                     {file});
  }
}

void read_metadata(const Json& json, std::map<std::string, std::string>* metadata, const std::string& file) {
  const base::Where where{file, 0, "__metadata__"};
  if (!json.is_object()) base::fail_input("__metadata__ must be an object of texts", where);
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) base::fail_input("__metadata__ must hold texts only, but \"" + key + "\" is none", where);
    if (metadata) (*metadata)[key] = value.get<std::string>();
  }
}

std::string build_header(const std::vector<const TensorToProduce*>& order,
                         const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  auto& entries = header.get_ref<Json::object_t&>();  // appended directly: a look-up by key is linear
  std::set<std::string_view> names{"__metadata__"};
  uint64_t position = 0;
  for (const TensorToProduce* tensor : order) {
    const base::Where where{"", 0, tensor->name};
    if (!names.insert(tensor->name).second) {
      throw Error(Code::kAlreadyExists, "two tensors of one file have the name \"" + tensor->name + "\"", where);
    }
    const uint64_t bytes = checked_bytes(tensor->shape, dtype_bytes(tensor->dtype), where);
    entries.push_back({tensor->name,
                       {{"dtype", dtype_name(tensor->dtype)},
                        {"shape", tensor->shape},
                        {"data_offsets", {position, position + bytes}}}});
    position += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

size_t dtype_bytes(Dtype dtype) { return row_of(dtype).bytes; }

std::string_view dtype_name(Dtype dtype) { return row_of(dtype).name; }

Dtype parse_dtype(std::string_view name) {
  for (const DtypeRow& row : kDtypes) {
    if (row.name == name) return row.dtype;
  }
  std::string known;
  for (const DtypeRow& row : kDtypes) known += (known.empty() ? "" : ", ") + std::string(row.name);
  base::fail_input("the dtype must be one of " + known + ", but it is \"" + std::string(name) + "\"");
}

int64_t TensorView::numel() const {
  int64_t total = 1;
  for (int64_t size : shape) total *= size;
  return total;
}

std::vector<TensorView> read_safetensors(const std::filesystem::path& file,
                                         std::map<std::string, std::string>* metadata) {
  const auto mapped = std::make_shared<const base::MappedFile>(file);
  const auto [header_text, data] = split_file(mapped->bytes(), file.string());
  if (header_text.empty() || header_text.front() != '{') {
    base::fail_input("the header must be a JSON object; this is no safetensors file", {file.string()});
  }
  const Json header = base::parse_json(header_text, file.string());
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") {
      read_metadata(json, metadata, file.string());
    } else {
      entries.push_back(parse_entry(name, json, file.string()));
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_layout(entries, data.size(), file.string());
  std::vector<TensorView> views;
  views.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.view.bytes = data.substr(entry.begin, entry.end - entry.begin);
    entry.view.file = mapped;
    views.push_back(std::move(entry.view));
  }
  return views;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void stream_safetensors(const std::filesystem::path& file, const std::vector<TensorToProduce>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToProduce*> order;
  for (const TensorToProduce& tensor : tensors) order.push_back(&tensor);
  // Wide types first: then every tensor begins at a multiple of its element size.
  std::stable_sort(order.begin(), order.end(), [](const TensorToProduce* a, const TensorToProduce* b) {
    const size_t left = dtype_bytes(a->dtype), right = dtype_bytes(b->dtype);
    return left != right ? left > right : a->name < b->name;
  });
  const std::string header = build_header(order, metadata);
  const uint64_t length = header.size();
  base::DurableWriter writer(file);
  writer.write({reinterpret_cast<const char*>(&length), 8});
  writer.write(header);
  for (const TensorToProduce* tensor : order) {
    const uint64_t expected =
        checked_bytes(tensor->shape, dtype_bytes(tensor->dtype), {file.string(), 0, tensor->name});
    uint64_t written = 0;
    tensor->produce([&](std::string_view bytes) {
      writer.write(bytes);
      written += bytes.size();
    });
    if (written != expected) {
      throw Error(Code::kInternal,
                  "a tensor of shape " + shape_text(tensor->shape) + " needs " + std::to_string(expected) +
                      " bytes, but was given " + std::to_string(written),
                  {file.string(), 0, tensor->name});
    }
  }
  writer.commit();
}

void write_safetensors(const std::filesystem::path& file, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorToProduce> producers;
  producers.reserve(tensors.size());
  for (const TensorToWrite& tensor : tensors) {
    producers.push_back(
        {tensor.name, tensor.dtype, tensor.shape, [bytes = tensor.bytes](const ByteSink& sink) { sink(bytes); }});
  }
  stream_safetensors(file, producers, metadata);
}

}  // namespace masbak::models
