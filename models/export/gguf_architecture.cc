#include "models/export/gguf_architecture.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"

namespace masbak::models {
namespace {

using base::Fields;

[[noreturn]] void refuse(const Fields& config, const std::string& field, const std::string& message) {
  throw base::Error(base::Code::kUnimplemented, message + "; llama.cpp cannot run this model", config.where(field));
}

bool has_experts(const Blueprint& plan) { return std::count(plan.sparse.begin(), plan.sparse.end(), true) > 0; }

// Where the rotary fields of config.json stand: rope_parameters of transformers 5, or rope_scaling.
struct Rope {
  std::string type;
  double theta, factor, attention;  // attention: what cosines and sines are multiplied by
  int64_t original;
  Fields fields;

  Rope(const Blueprint& plan, const Fields& config)
      : fields(config.has("rope_scaling") && !config.raw("rope_scaling").empty() ? config.child("rope_scaling")
                                                                                 : config.child("rope_parameters")) {
    type = fields.get<std::string>("rope_type", fields.get<std::string>("type", "default"));
    const double own = plan.family == "mixtral" ? 1e6 : 10000.0;
    theta = fields.get<double>("rope_theta", config.get<double>("rope_theta", own));
    const auto positions = config.get<int64_t>("max_position_embeddings", plan.max_positions);
    original = config.get<int64_t>("original_max_position_embeddings",
                                   fields.get<int64_t>("original_max_position_embeddings", positions));
    factor = fields.get<double>("factor", type == "yarn" ? static_cast<double>(positions) / original : 1.0);
    attention = fields.get<double>("attention_factor", default_attention());
  }

  double mscale(double by) const { return factor <= 1 ? 1.0 : 0.1 * by * std::log(factor) + 1.0; }
  double all_dimensions() const { return fields.get<double>("mscale_all_dim", 0.0); }

 private:
  double default_attention() const {
    if (type != "yarn") return 1;
    const double one = fields.get<double>("mscale", 0.0), all = all_dimensions();
    return one != 0 && all != 0 ? mscale(one) / mscale(all) : mscale(1);
  }
};

void check_rope(const Blueprint& plan, const Fields& config, const std::string& architecture) {
  const Rope rope(plan, config);
  const std::string field = config.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  if (rope.type == "dynamic" || rope.type == "longrope") {
    refuse(config, field, "rotary type \"" + rope.type + "\" changes with the length of each text");
  }
  const bool has_divisors = architecture == "llama" || architecture.starts_with("granite");
  if (rope.type == "llama3" && !has_divisors) {
    refuse(config, field, "rotary type \"llama3\" is not read in the architecture " + architecture);
  }
  if (rope.type == "yarn" && !rope.fields.get<bool>("truncate", true)) {
    refuse(config, field, "yarn without truncation of its borders");
  }
  // There the temperature of the angles goes into the attention's scale once more.
  if (rope.type == "yarn" && architecture == "deepseek2" && std::abs(rope.attention - 1) > 1e-6) {
    refuse(config, field, "yarn whose mscale is not its mscale_all_dim");
  }
  if (rope.type == "linear" && architecture == "deepseek2" && rope.all_dimensions() != 0) {
    refuse(config, field, "mscale_all_dim without yarn");
  }
}

void check_grouped(const Blueprint& plan, const Fields& config, const std::string& architecture) {
  const auto& attention = std::get<GroupedQueryShape>(plan.attention);
  const bool reads_bias = architecture == "llama" || architecture.starts_with("granite");
  if (attention.bias && !reads_bias) refuse(config, "attention_bias", "attention with a bias");
  if (attention.window > 0 && attention.window < plan.max_positions) {
    refuse(config, "sliding_window", "a sliding window that is shorter than the longest text");
  }
  if (attention.clip != 0) refuse(config, "clip_qkv", "a bound of queries, keys and values");
}

void check_latent(const Blueprint& plan, const Fields& config) {
  const auto& attention = std::get<LatentShape>(plan.attention);
  if (attention.bias) refuse(config, "attention_bias", "latent attention with a bias");
  if (plan.mlp_bias) refuse(config, "mlp_bias", "a bias in the feed-forward networks");
  if (!std::is_sorted(plan.sparse.begin(), plan.sparse.end())) {
    refuse(config, "mlp_layer_types", "a dense layer behind one with experts");
  }
  if (!has_experts(plan)) refuse(config, "first_k_dense_replace", "a model of this family without experts");
  if (plan.experts.shared_inner == 0)
    refuse(config, "n_shared_experts", "a model of this family without shared experts");
  const RouterRule& rule = plan.experts.rule;
  if (rule.groups > 1 && rule.chosen_groups < rule.groups && rule.rated_by != 2) {
    refuse(config, "topk_method", "groups of experts that are rated by their best one");
  }
}

void check_experts(const Blueprint& plan, const Fields& config, bool normalised) {
  if (std::count(plan.sparse.begin(), plan.sparse.end(), false) > 0) {
    refuse(config, "mlp_only_layers", "layers without experts in this family");
  }
  if (plan.experts.rule.scoring == RouterRule::Scoring::kSoftmaxOfChosen) return;
  if (plan.experts.rule.normalise != normalised) {
    refuse(config, "norm_topk_prob",
           std::string("weights of the chosen experts that are ") + (normalised ? "not " : "") + "normalised");
  }
}

GgufArchitecture find(const Blueprint& plan) {
  if (plan.family == "llama" || plan.family == "mixtral") return {"llama", true, false};
  if (plan.family == "granite") return {"granite", true, false};
  if (plan.family == "granitemoe") return {"granitemoe", true, false};
  if (plan.family == "qwen3_moe") return {"qwen3moe", false, false};
  if (plan.family == "olmoe") return {"olmoe", false, true};
  if (std::holds_alternative<LatentShape>(plan.attention)) return {"deepseek2", false, false};
  throw base::Error(base::Code::kUnimplemented, "the family \"" + plan.family + "\" has no architecture in llama.cpp");
}

uint32_t count(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(value);
  throw base::Error(base::Code::kInternal, "a size of the model does not fit GGUF's 32 bits");
}

void put_rope(const Blueprint& plan, const Fields& config, const std::string& key, bool latent, GgufWriter& out) {
  const Rope rope(plan, config);
  out.put(key + "rope.freq_base", static_cast<float>(rope.theta));
  if (rope.type != "linear" && rope.type != "yarn") return;
  out.put(key + "rope.scaling.type", rope.type);
  out.put(key + "rope.scaling.factor", static_cast<float>(rope.factor));
  if (rope.type == "linear") return;
  out.put(key + "rope.scaling.original_context_length", count(rope.original));
  out.put(key + "rope.scaling.yarn_beta_fast", static_cast<float>(rope.fields.get<double>("beta_fast", 32.0)));
  out.put(key + "rope.scaling.yarn_beta_slow", static_cast<float>(rope.fields.get<double>("beta_slow", 1.0)));
  if (latent) {
    // Ten times smaller than the field, as every file of this architecture has it.
    out.put(key + "rope.scaling.yarn_log_multiplier", static_cast<float>(0.1 * rope.all_dimensions()));
  } else if (std::abs(rope.attention / rope.mscale(1) - 1) > 1e-9) {
    out.put(key + "rope.scaling.attn_factor", static_cast<float>(rope.attention / rope.mscale(1)));
  }
}

void put_attention(const GroupedQueryShape& shape, const Blueprint& plan, const std::string& key, GgufWriter& out) {
  out.put(key + "attention.head_count", count(shape.heads));
  out.put(key + "attention.head_count_kv", count(shape.groups));
  out.put(key + "attention.key_length", count(shape.head_size));
  out.put(key + "attention.value_length", count(shape.head_size));
  out.put(key + "rope.dimension_count", count(shape.head_size));
  if (!plan.family.starts_with("granite")) return;
  out.put(key + "attention.scale", static_cast<float>(shape.scale));
  out.put(key + "embedding_scale", static_cast<float>(plan.embedding_multiplier));
  out.put(key + "residual_scale", static_cast<float>(plan.residual_multiplier));
  out.put(key + "logit_scale", static_cast<float>(plan.logits_divisor));
}

// As one key head that holds latent and rotary part, of which the others are made (DeepSeek-V2, section 2.1.2).
void put_attention(const LatentShape& shape, const Blueprint& plan, const std::string& key, GgufWriter& out) {
  out.put(key + "attention.head_count", count(shape.heads));
  out.put(key + "attention.head_count_kv", count(1));
  out.put(key + "attention.q_lora_rank", count(shape.query_rank));
  out.put(key + "attention.kv_lora_rank", count(shape.latent));
  out.put(key + "attention.key_length", count(shape.latent + shape.rope));
  out.put(key + "attention.value_length", count(shape.latent));
  out.put(key + "attention.key_length_mla", count(shape.query_size()));
  out.put(key + "attention.value_length_mla", count(shape.value));
  out.put(key + "rope.dimension_count", count(shape.rope));
  out.put(key + "leading_dense_block_count", count(std::count(plan.sparse.begin(), plan.sparse.end(), false)));
  const ExpertsShape& experts = plan.experts;
  out.put(key + "expert_shared_count", count(experts.shared_inner / experts.inner));
  out.put(key + "expert_weights_scale", static_cast<float>(experts.rule.scale));
  out.put(key + "expert_weights_norm", experts.rule.normalise);
  out.put(key + "expert_gating_func", count(experts.rule.scoring == RouterRule::Scoring::kSigmoid ? 2 : 1));
  if (experts.rule.groups > 1 && experts.rule.chosen_groups < experts.rule.groups) {
    out.put(key + "expert_group_count", count(experts.rule.groups));
    out.put(key + "expert_group_used_count", count(experts.rule.chosen_groups));
  }
}

}  // namespace

GgufArchitecture gguf_architecture(const Blueprint& plan, const Fields& config) {
  const GgufArchitecture architecture = find(plan);
  check_rope(plan, config, architecture.name);
  if (architecture.name == "deepseek2") {
    check_latent(plan, config);
  } else {
    check_grouped(plan, config, architecture.name);
    if (has_experts(plan)) check_experts(plan, config, architecture.name != "olmoe");
  }
  if (!has_experts(plan) && architecture.name == "qwen3moe") {
    refuse(config, "mlp_only_layers", "a model of this family without experts");
  }
  return architecture;
}

void put_architecture(const Blueprint& plan, const Fields& config, const GgufArchitecture& architecture,
                      GgufWriter& out) {
  const std::string key = architecture.name + ".";
  out.put(key + "block_count", count(plan.layers));
  out.put(key + "context_length", count(plan.max_positions));
  out.put(key + "embedding_length", count(plan.hidden));
  out.put(key + "feed_forward_length", count(plan.dense_inner));
  out.put(key + "vocab_size", count(plan.vocabulary));
  out.put(key + "attention.layer_norm_rms_epsilon", static_cast<float>(plan.norm_epsilon));
  std::visit([&](const auto& shape) { put_attention(shape, plan, key, out); }, plan.attention);
  if (has_experts(plan)) {
    out.put(key + "expert_count", count(plan.experts.count));
    out.put(key + "expert_used_count", count(plan.experts.rule.experts_per_token));
    out.put(key + "expert_feed_forward_length", count(plan.experts.inner));
  }
  put_rope(plan, config, key, architecture.name == "deepseek2", out);
}

std::vector<double> rope_divisors(const Blueprint& plan, const Fields& config) {
  const Rope rope(plan, config);
  if (rope.type != "llama3") return {};
  const auto size = static_cast<double>(std::get<GroupedQueryShape>(plan.attention).head_size);
  const double low = rope.fields.get<double>("low_freq_factor"), high = rope.fields.get<double>("high_freq_factor");
  const auto original = static_cast<double>(rope.original);
  std::vector<double> divisors;
  for (int64_t i = 0; i < static_cast<int64_t>(size); i += 2) {
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, static_cast<double>(i) / size);
    // How often it turns within the original length: seldom, it is stretched; often, it stays.
    const double smooth = std::clamp((original / wavelength - low) / (high - low), 0.0, 1.0);
    divisors.push_back(1 / ((1 - smooth) / rope.factor + smooth));
  }
  return divisors;
}

}  // namespace masbak::models
