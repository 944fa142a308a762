// Statements.
#include "models/tokenizer/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "models/tokenizer/jinja/parser_base.h"

namespace masbak::models::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  void run() {
    template_.loop = name_id("loop");
    template_.caller = name_id("caller");
    template_.varargs = name_id("varargs");
    template_.kwargs = name_id("kwargs");
    template_.body = statements({});
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  StmtPtr make_stmt(Stmt::Kind kind, int line) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = line;
    return stmt;
  }

  // Statements up to one of `ends`, whose name is left as the next token; up to the end if there are none.
  Block statements(Ends ends) {
    Nesting nesting(*this);
    Block block;
    while (now().token != Token::kEnd) {
      int line = now().line;
      if (now().token == Token::kData) {
        block.push_back(make_stmt(Stmt::Kind::kData, line));
        block.back()->data = take().text;
      } else if (now().token == Token::kVariableBegin) {
        take();
        StmtPtr stmt = make_stmt(Stmt::Kind::kOutput, line);
        stmt->exprs.push_back(tuple());
        expect(Token::kVariableEnd, "end of print statement");
        block.push_back(std::move(stmt));
      } else {
        expect(Token::kBlockBegin, "begin of statement block");
        if (now().token == Token::kName && std::find(ends.begin(), ends.end(), now().text) != ends.end()) return block;
        block.push_back(statement(ends));
        expect(Token::kBlockEnd, "end of statement block");
      }
    }
    if (ends.size() > 0) {
      std::string wanted;
      for (std::string_view end : ends) wanted += (wanted.empty() ? "'" : " or '") + std::string(end) + "'";
      fail_here("Unexpected end of template. Jinja was looking for the following tags: " + wanted + ".");
    }
    return block;
  }

  // The body of a tag whose opening is still to be closed, and its end tag's name.
  Block body(Ends ends) {
    skip_sign(":");
    expect(Token::kBlockEnd, "end of statement block");
    return statements(ends);
  }

  Block body_to(std::string_view end) {
    Block block = body({end});
    take();
    return block;
  }

  StmtPtr statement(Ends ends) {
    if (now().token != Token::kName) fail_here("tag name expected");
    const std::string tag = now().text;
    int line = take().line;
    if (tag == "for") return for_loop(line);
    if (tag == "if") return if_else(line);
    if (tag == "set") return set(line);
    if (tag == "macro") return macro(line);
    if (tag == "call") return call_block(line);
    if (tag == "filter") return filter_block(line);
    if (tag == "with") return with(line);
    if (tag == "print") return print(line);
    if (tag == "generation") {
      template_.has_generation = true;
      return scope(Stmt::Kind::kGeneration, line, "endgeneration");
    }
    if (tag == "autoescape") {
      expression();
      return scope(Stmt::Kind::kScope, line, "endautoescape");
    }
    if (tag == "block") return block(line);
    if (tag == "break" || tag == "continue") {
      return make_stmt(tag == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue, line);
    }
    if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
      StmtPtr stmt = make_stmt(Stmt::Kind::kUnsupported, line);
      stmt->data = tag;
      while (now().token != Token::kBlockEnd && now().token != Token::kEnd) take();
      return stmt;
    }
    std::string wanted;
    for (std::string_view end : ends)
      wanted += (wanted.empty() ? " Jinja was looking for '" : " or '") + std::string(end) + "'";
    throw SyntaxError{line, "Encountered unknown tag '" + tag + "'." + wanted};
  }

  StmtPtr scope(Stmt::Kind kind, int line, std::string_view end) {
    StmtPtr stmt = make_stmt(kind, line);
    stmt->blocks.push_back(body_to(end));
    return stmt;
  }

  StmtPtr block(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kScope, line);
    std::string name = expect_name();
    skip_name("scoped");
    skip_name("required");
    stmt->blocks.push_back(body_to("endblock"));
    skip_name(name);
    return stmt;
  }

  Target one_target(bool with_field) {
    Target target;
    target.line = now().line;
    if (skip_sign("(")) {
      target = targets(with_field, "");
      expect_sign(")");
      return target;
    }
    target.text = expect_name();
    static const std::initializer_list<std::string_view> kConstants = {"true", "false", "none",
                                                                       "True", "False", "None"};
    if (std::find(kConstants.begin(), kConstants.end(), target.text) != kConstants.end()) {
      fail_here("can't assign to 'const'");
    }
    target.name = name_id(target.text);
    if (with_field && skip_sign(".")) {
      target.field = expect_name();
      used_names_.insert(target.text);
    }
    return target;
  }

  // A name, or several with commas, up to `stop`.
  Target targets(bool with_field, std::string_view stop) {
    Target first = one_target(with_field);
    if (!is_sign(",")) return first;
    Target all;
    all.line = first.line;
    all.tuple = true;
    all.several.push_back(std::move(first));
    while (skip_sign(",")) {
      if ((!stop.empty() && is_name(stop)) || is_sign("=") || is_sign(")") || now().token == Token::kBlockEnd) break;
      all.several.push_back(one_target(with_field));
    }
    return all;
  }

  // Parses a body and says whether it reads `name`.
  template <typename Parse>
  bool reads_name(const std::string& name, const Parse& parse) {
    std::unordered_set<std::string> outer;
    outer.swap(used_names_);
    parse();
    bool reads = used_names_.contains(name);
    used_names_.merge(outer);
    return reads;
  }

  StmtPtr for_loop(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kFor, line);
    stmt->targets.push_back(targets(false, "in"));
    expect_name("in");
    stmt->exprs.push_back(tuple(false, "recursive"));
    stmt->exprs.push_back(skip_name("if") ? expression() : nullptr);
    stmt->recursive = skip_name("recursive");
    stmt->uses_loop = reads_name("loop", [&] { stmt->blocks.push_back(body({"endfor", "else"})); });
    if (take().text == "else") {
      stmt->has_else = true;
      stmt->blocks.push_back(body_to("endfor"));
    }
    return stmt;
  }

  StmtPtr if_else(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kIf, line);
    while (true) {
      stmt->exprs.push_back(tuple(false));
      stmt->blocks.push_back(body({"elif", "else", "endif"}));
      std::string end = take().text;
      if (end == "elif") continue;
      if (end == "else") {
        stmt->has_else = true;
        stmt->blocks.push_back(body_to("endif"));
      }
      return stmt;
    }
  }

  // Filters after `set x | …` or `filter …`, over a constant that stands for the body's text.
  ExprPtr body_filters(bool at_name) {
    ExprPtr slot = make(Expr::Kind::kConst, now().line);
    return filter(std::move(slot), at_name);
  }

  StmtPtr set(int line) {
    Target target = targets(true, "");
    if (skip_sign("=")) {
      StmtPtr stmt = make_stmt(Stmt::Kind::kSet, line);
      stmt->targets.push_back(std::move(target));
      stmt->exprs.push_back(tuple());
      return stmt;
    }
    StmtPtr stmt = make_stmt(Stmt::Kind::kSetBlock, line);
    stmt->targets.push_back(std::move(target));
    stmt->filters = body_filters(false);
    stmt->blocks.push_back(body_to("endset"));
    return stmt;
  }

  void signature(Stmt& stmt) {
    expect_sign("(");
    while (!is_sign(")")) {
      if (!stmt.parameters.empty()) expect_sign(",");
      Parameter parameter;
      parameter.text = expect_name();
      parameter.name = name_id(parameter.text);
      if (skip_sign("=")) {
        parameter.fallback = expression();
      } else if (!stmt.parameters.empty() && stmt.parameters.back().fallback) {
        fail_here("non-default argument follows default argument");
      }
      stmt.parameters.push_back(std::move(parameter));
    }
    expect_sign(")");
  }

  void macro_body(Stmt& stmt, std::string_view end) {
    std::unordered_set<std::string> outer;
    outer.swap(used_names_);
    stmt.blocks.push_back(body_to(end));
    auto reads = [&](const char* name) {
      bool parameter = std::any_of(stmt.parameters.begin(), stmt.parameters.end(),
                                   [&](const Parameter& each) { return each.text == name; });
      return used_names_.contains(name) && !parameter;
    };
    stmt.uses_caller = reads("caller");
    stmt.uses_varargs = reads("varargs");
    stmt.uses_kwargs = reads("kwargs");
    used_names_.merge(outer);
  }

  StmtPtr macro(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kMacro, line);
    stmt->data = expect_name();
    stmt->name = name_id(stmt->data);
    signature(*stmt);
    macro_body(*stmt, "endmacro");
    return stmt;
  }

  StmtPtr call_block(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kCallBlock, line);
    if (is_sign("(")) signature(*stmt);
    stmt->exprs.push_back(expression());
    if (stmt->exprs[0]->kind != Expr::Kind::kCall) throw SyntaxError{line, "expected call"};
    macro_body(*stmt, "endcall");
    return stmt;
  }

  StmtPtr filter_block(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kFilterBlock, line);
    stmt->filters = body_filters(true);
    stmt->blocks.push_back(body_to("endfilter"));
    return stmt;
  }

  StmtPtr with(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kWith, line);
    while (now().token != Token::kBlockEnd) {
      if (!stmt->targets.empty()) expect_sign(",");
      stmt->targets.push_back(one_target(false));
      expect_sign("=");
      stmt->exprs.push_back(expression());
    }
    stmt->blocks.push_back(body_to("endwith"));
    return stmt;
  }

  StmtPtr print(int line) {
    StmtPtr stmt = make_stmt(Stmt::Kind::kOutput, line);
    while (now().token != Token::kBlockEnd) {
      if (!stmt->exprs.empty()) expect_sign(",");
      stmt->exprs.push_back(expression());
    }
    return stmt;
  }
};

}  // namespace

Template parse_template(std::string_view source) {
  Template result;
  Parser(tokenize_template(source), result).run();
  return result;
}

}  // namespace masbak::models::jinja
