#include "models/checkpoint/adopt/dense_llama.h"

#include <charconv>
#include <set>

#include "models/checkpoint/safetensors.h"

namespace masbak::models {
namespace {

using base::Code;
using base::Error;

// A number that the file stores as float32 ("1e-05") and JSON as a double: the shortest decimal that
// means the same float, instead of 9.999999747378752e-06.
double shortest_double(double stored) {
  char text[64];
  const auto written = std::to_chars(text, text + sizeof text, static_cast<float>(stored));
  double value = 0;
  std::from_chars(text, written.ptr, value);
  return value;
}

// ggml rotates neighbours (2j, 2j + 1) of a head, Hugging Face's llama the halves (j, j + K/2); the
// converter to GGUF therefore reorders the rows of query and key. This puts them back.
std::vector<float> rows_in_halves(const std::vector<float>& pairs, int64_t heads, int64_t head_size, int64_t columns) {
  std::vector<float> halves(pairs.size());
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t j = 0; j < head_size / 2; ++j) {
      for (int64_t half = 0; half < 2; ++half) {
        const float* from = pairs.data() + (head * head_size + 2 * j + half) * columns;
        std::copy(from, from + columns, halves.data() + (head * head_size + half * (head_size / 2) + j) * columns);
      }
    }
  }
  return halves;
}

}  // namespace

DenseLlama::DenseLlama(const GgufFile& file) : file_(file) {
  const auto architecture = file.get<std::string>("general.architecture");
  if (architecture != "llama") {
    throw Error(Code::kUnimplemented,
                "only dense models of the architecture llama can be adopted, but this one is \"" + architecture + "\"",
                {file.path().string(), 0, "general.architecture"});
  }
  read_sizes();
  check_tensors();
}

void DenseLlama::read_sizes() {
  const auto size = [&](const std::string& key, int64_t highest) {
    const auto value = file_.get<int64_t>(key);
    if (value < 1 || value > highest) {
      base::fail_input("expected 1 to " + std::to_string(highest) + ", found " + std::to_string(value),
                       {file_.path().string(), 0, key});
    }
    return value;
  };
  const auto refuse = [&](const std::string& key, const std::string& message) {
    throw Error(Code::kUnimplemented, message, {file_.path().string(), 0, key});
  };
  constexpr int64_t kMany = 1 << 24;
  layers = size("llama.block_count", 1 << 12);
  hidden = size("llama.embedding_length", kMany);
  neurons = size("llama.feed_forward_length", kMany);
  heads = size("llama.attention.head_count", 1 << 14);
  groups = file_.has("llama.attention.head_count_kv") ? size("llama.attention.head_count_kv", heads) : heads;
  max_positions = size("llama.context_length", int64_t{1} << 31);
  head_size = file_.has("llama.attention.key_length") ? size("llama.attention.key_length", 1 << 14) : hidden / heads;
  if (heads % groups != 0) {
    base::fail_input(std::to_string(heads) + " heads cannot share " + std::to_string(groups) + " key/value heads",
                     {file_.path().string(), 0, "llama.attention.head_count_kv"});
  }
  if (head_size < 2 || head_size % 2 != 0) {
    base::fail_input("the size of a head must be even, found " + std::to_string(head_size),
                     {file_.path().string(), 0, "llama.attention.key_length"});
  }
  if (file_.get<int64_t>("llama.rope.dimension_count", head_size) != head_size) {
    refuse("llama.rope.dimension_count", "a head of which only a part is rotated is not supported");
  }
  if (file_.get<int64_t>("llama.attention.value_length", head_size) != head_size) {
    refuse("llama.attention.value_length", "value heads of another size than key heads are not supported");
  }
  if (file_.get<int64_t>("llama.expert_count", 0) != 0) {
    refuse("llama.expert_count", "the file holds a mixture of experts already; only dense models can be adopted");
  }
  const auto scaling = file_.get<std::string>("llama.rope.scaling.type", "none");
  if (scaling != "none") refuse("llama.rope.scaling.type", "rope scaling \"" + scaling + "\" is not supported");
  rope_theta = shortest_double(file_.get<double>("llama.rope.freq_base", 10000.0));
  norm_epsilon = shortest_double(file_.get<double>("llama.attention.layer_norm_rms_epsilon"));
  const auto embedding = file_.tensors().find("token_embd.weight");
  vocabulary = embedding == file_.tensors().end() ? 0 : embedding->second.shape.front();
  if (vocabulary == 0) file_.tensor("token_embd.weight", {vocabulary, hidden});  // throws: it is missing
  tied_embeddings = !file_.has_tensor("output.weight");
  const auto token = [&](const std::string& key) -> std::optional<int64_t> {
    if (!file_.has(key)) return std::nullopt;
    const auto id = file_.get<int64_t>(key);
    if (id >= 0 && id < vocabulary) return id;
    base::fail_input(
        "the token id " + std::to_string(id) + " lies outside the vocabulary of " + std::to_string(vocabulary),
        {file_.path().string(), 0, key});
  };
  bos_id = token("tokenizer.ggml.bos_token_id");
  pad_id = token("tokenizer.ggml.padding_token_id");
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const auto id = token(key);
    if (id && (eos_ids.empty() || eos_ids.front() != *id)) eos_ids.push_back(*id);
  }
}

// Every tensor that is needed is there with its shape, and there is none whose part is not understood.
void DenseLlama::check_tensors() const {
  std::set<std::string> known;
  const auto need = [&](const std::string& name, const std::vector<int64_t>& shape) {
    file_.tensor(name, shape);
    known.insert(name);
  };
  need("token_embd.weight", {vocabulary, hidden});
  need("output_norm.weight", {hidden});
  if (!tied_embeddings) need("output.weight", {vocabulary, hidden});
  for (int64_t n = 0; n < layers; ++n) {
    const std::string layer = "blk." + std::to_string(n) + ".";
    need(layer + "attn_q.weight", {heads * head_size, hidden});
    need(layer + "attn_k.weight", {groups * head_size, hidden});
    need(layer + "attn_v.weight", {groups * head_size, hidden});
    need(layer + "attn_output.weight", {hidden, heads * head_size});
    need(layer + "ffn_gate.weight", {neurons, hidden});
    need(layer + "ffn_up.weight", {neurons, hidden});
    need(layer + "ffn_down.weight", {hidden, neurons});
    need(layer + "attn_norm.weight", {hidden});
    need(layer + "ffn_norm.weight", {hidden});
  }
  for (const auto& [name, tensor] : file_.tensors()) {
    if (known.count(name)) continue;
    throw Error(Code::kUnimplemented,
                "the file holds a tensor that a plain llama model does not have; leaving it out would change the model",
                {file_.path().string(), 0, name});
  }
}

const GgufTensor& DenseLlama::layer_tensor(int64_t layer, const std::string& part,
                                           const std::vector<int64_t>& shape) const {
  return file_.tensor("blk." + std::to_string(layer) + "." + part + ".weight", shape);
}

std::vector<float> DenseLlama::query(int64_t layer) const {
  return rows_in_halves(dequantise(layer_tensor(layer, "attn_q", {heads * head_size, hidden})), heads, head_size,
                        hidden);
}

std::vector<float> DenseLlama::key(int64_t layer) const {
  return rows_in_halves(dequantise(layer_tensor(layer, "attn_k", {groups * head_size, hidden})), groups, head_size,
                        hidden);
}

std::vector<float> DenseLlama::value(int64_t layer) const {
  return dequantise(layer_tensor(layer, "attn_v", {groups * head_size, hidden}));
}

std::vector<float> DenseLlama::output(int64_t layer) const {
  return dequantise(layer_tensor(layer, "attn_output", {hidden, heads * head_size}));
}

std::vector<float> DenseLlama::gate(int64_t layer) const {
  return dequantise(layer_tensor(layer, "ffn_gate", {neurons, hidden}));
}

std::vector<float> DenseLlama::up(int64_t layer) const {
  return dequantise(layer_tensor(layer, "ffn_up", {neurons, hidden}));
}

std::vector<float> DenseLlama::down(int64_t layer) const {
  return dequantise(layer_tensor(layer, "ffn_down", {hidden, neurons}));
}

std::vector<float> DenseLlama::attention_norm(int64_t layer) const {
  return dequantise(layer_tensor(layer, "attn_norm", {hidden}));
}

std::vector<float> DenseLlama::feed_forward_norm(int64_t layer) const {
  return dequantise(layer_tensor(layer, "ffn_norm", {hidden}));
}

std::vector<LazyTensor> DenseLlama::outer_tensors() const {
  const auto plain = [this](const std::string& name, const std::string& source, std::vector<int64_t> shape) {
    const GgufTensor& tensor = file_.tensor(source, shape);
    return LazyTensor{name, shape, [&tensor] { return dequantise(tensor); }};
  };
  std::vector<LazyTensor> tensors{plain("model.embed_tokens.weight", "token_embd.weight", {vocabulary, hidden}),
                                  plain("model.norm.weight", "output_norm.weight", {hidden})};
  if (!tied_embeddings) tensors.push_back(plain("lm_head.weight", "output.weight", {vocabulary, hidden}));
  return tensors;
}

base::Json DenseLlama::common_config() const {
  base::Json config{{"vocab_size", vocabulary},
                    {"hidden_size", hidden},
                    {"intermediate_size", neurons},
                    {"num_hidden_layers", layers},
                    {"num_attention_heads", heads},
                    {"hidden_act", "silu"},
                    {"rms_norm_eps", norm_epsilon},
                    {"max_position_embeddings", max_positions},
                    {"tie_word_embeddings", tied_embeddings},
                    {"attention_dropout", 0.0},
                    {"initializer_range", 0.02},
                    {"use_cache", true}};
  config["bos_token_id"] = bos_id ? base::Json(*bos_id) : base::Json();
  if (eos_ids.empty()) {
    config["eos_token_id"] = nullptr;
  } else {
    config["eos_token_id"] = eos_ids.size() == 1 ? base::Json(eos_ids.front()) : base::Json(eos_ids);
  }
  config["pad_token_id"] = pad_id ? base::Json(*pad_id) : base::Json();
  return config;
}

base::Json llama_config(const DenseLlama& dense) {
  base::Json config{{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}};
  config.update(dense.common_config());
  config["num_key_value_heads"] = dense.groups;
  config["head_dim"] = dense.head_size;
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", dense.rope_theta}};
  return config;
}

std::vector<LazyTensor> llama_tensors(const DenseLlama& dense) {
  std::vector<LazyTensor> tensors = dense.outer_tensors();
  const int64_t query_rows = dense.heads * dense.head_size, key_rows = dense.groups * dense.head_size;
  for (int64_t n = 0; n < dense.layers; ++n) {
    const auto add = [&](const std::string& part, std::vector<int64_t> shape,
                         std::vector<float> (DenseLlama::*source)(int64_t) const) {
      tensors.push_back({"model.layers." + std::to_string(n) + "." + part + ".weight", std::move(shape),
                         [&dense, source, n] { return (dense.*source)(n); }});
    };
    add("input_layernorm", {dense.hidden}, &DenseLlama::attention_norm);
    add("self_attn.q_proj", {query_rows, dense.hidden}, &DenseLlama::query);
    add("self_attn.k_proj", {key_rows, dense.hidden}, &DenseLlama::key);
    add("self_attn.v_proj", {key_rows, dense.hidden}, &DenseLlama::value);
    add("self_attn.o_proj", {dense.hidden, query_rows}, &DenseLlama::output);
    add("post_attention_layernorm", {dense.hidden}, &DenseLlama::feed_forward_norm);
    add("mlp.gate_proj", {dense.neurons, dense.hidden}, &DenseLlama::gate);
    add("mlp.up_proj", {dense.neurons, dense.hidden}, &DenseLlama::up);
    add("mlp.down_proj", {dense.hidden, dense.neurons}, &DenseLlama::down);
  }
  return tensors;
}

}  // namespace masbak::models
