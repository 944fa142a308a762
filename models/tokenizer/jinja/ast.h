// The parsed form of a template.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/jinja/value.h"

namespace masbak::models::jinja {

using Filter = Value (*)(Render& render, const Value& input, Arguments& arguments);
using Test = bool (*)(Render& render, const Value& input, Arguments& arguments);
// A method of strings, lists or dicts.
using Method = Value (*)(Render& render, const Value& receiver, Arguments& arguments);

// What a name means as a method, by the type of the receiver; null where there is none.
struct MethodSet {
  Method text = nullptr, dict = nullptr, list = nullptr, sequence = nullptr;  // sequence: tuples and ranges
  bool unsafe_dict = false, unsafe_list = false;                              // the sandbox refuses it

  // `unsafe` is set for a method that the sandbox refuses.
  Method of(const Value& receiver, bool& unsafe) const;
};

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };
enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // f(*a, **k)
};

struct Expr {
  enum class Kind : uint8_t {
    kConst,
    kName,
    kList,
    kTuple,
    kDict,
    kNot,
    kNegative,
    kPositive,
    kAnd,
    kOr,
    kBinary,
    kCompare,
    kConcat,
    kCondition,
    kAttribute,
    kItem,
    kSlice,
    kCall,
    kFilter,
    kTest
  };
  Kind kind;
  int line;
  int depth = 1;
  // kConst; of kName and kAttribute the undefined value for what is missing (from a dict).
  Value constant;
  int name = -1;     // kName: index into Template::names
  std::string text;  // name, attribute, filter or test
  BinaryOp binary = BinaryOp::kAdd;
  std::vector<CompareOp> compares;  // kCompare: between neighbours of kids
  bool negated = false;             // kTest
  std::vector<ExprPtr> kids;        // kDict: key, value, key, value …; kSlice: start, stop, step (null if absent)
  CallArguments arguments;          // kCall, kFilter, kTest
  Filter filter = nullptr;
  Test test = nullptr;
  MethodSet methods;              // kAttribute
  const Value* global = nullptr;  // kName
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

// What is assigned to: a name, a field of a namespace, or several.
struct Target {
  int line = 0;
  int name = -1;
  std::string text;
  std::string field;            // of the namespace `name`, if not empty
  std::vector<Target> several;  // if not empty or `tuple`, the only part that counts
  bool tuple = false;
};

struct Parameter {
  int name;
  std::string text;
  ExprPtr fallback;
};

struct Stmt {
  enum class Kind : uint8_t {
    kData,
    kOutput,
    kSet,
    kSetBlock,
    kFor,
    kIf,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kScope,
    kGeneration,
    kBreak,
    kContinue,
    kUnsupported
  };
  Kind kind;
  int line;
  std::string data;             // kData; the name of kMacro; the tag of kUnsupported
  std::vector<ExprPtr> exprs;   // kOutput; kIf's conditions; kFor: iterable, test (or null); kSet: value; kWith: values
  std::vector<Target> targets;  // kSet, kSetBlock, kFor, kWith
  std::vector<Block> blocks;    // kIf: one a condition, and else; kFor: body, else; others: body
  bool has_else = false;
  bool recursive = false;             // kFor
  bool uses_loop = false;             // kFor: the body names `loop`
  ExprPtr filters;                    // kSetBlock, kFilterBlock: filters over a kConst that stands for the body
  int name = -1;                      // kMacro
  std::vector<Parameter> parameters;  // kMacro, kCallBlock
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Template {
  Pins pins;  // the constants in `body`
  std::vector<std::string> names;
  std::unordered_map<std::string, int> name_ids;
  Block body;
  bool has_generation = false;
  int loop = -1, caller = -1, varargs = -1, kwargs = -1;  // ids of these names
};

}  // namespace masbak::models::jinja
