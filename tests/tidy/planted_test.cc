// Each house rule finds a planted violation, and leaves alone what is allowed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/tidy/house_rules.h"

namespace masbak::tidy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The files that the planted includes name.
Tree with_headers(Tree tree) {
  for (const char* header :
       {"base/error.h", "models/m.h", "adapters/a.h", "trainer/t.h", "registry/r.h", "policies/p.h",
        "services/control/c.h", "services/inference/i.h", "gui/g.h", "programs/cli/x.h", "tests/base/thrown.h"}) {
    tree.emplace(header, "#pragma once\n");
  }
  return tree;
}

struct Use {
  const char* path;
  const char* include;
};

std::vector<Violation> violations_of(const Use& use) {
  return check_includes(with_headers({{use.path, std::string("\n#include ") + use.include + "\n"}}));
}

TEST(Includes, FindsEachForbiddenOne) {
  const Use forbidden[] = {
      {"base/x.cc", "\"models/m.h\""},
      {"base/x.cc", "\"policies/p.h\""},
      {"models/x.cc", "\"adapters/a.h\""},
      {"models/layers/x.h", "\"trainer/t.h\""},
      {"adapters/x.cc", "\"trainer/t.h\""},
      {"trainer/x.cc", "\"registry/r.h\""},
      {"trainer/x.cc", "\"services/inference/i.h\""},
      {"registry/x.cc", "\"models/m.h\""},
      {"registry/x.cc", "\"policies/p.h\""},
      {"policies/x.cc", "\"registry/r.h\""},
      {"policies/x.cc", "\"models/m.h\""},
      {"services/control/x.cc", "\"models/m.h\""},
      {"services/node/x.cc", "\"trainer/t.h\""},
      {"services/node/x.cc", "\"services/inference/i.h\""},
      {"services/inference/x.cc", "\"trainer/t.h\""},
      {"services/inference/x.cc", "\"services/control/c.h\""},
      {"services/control/x.cc", "\"gui/g.h\""},
      {"gui/x.cc", "\"registry/r.h\""},
      {"gui/x.cc", "\"services/control/c.h\""},
      {"gui/x.cc", "\"models/m.h\""},
      {"programs/worker/x.cc", "\"registry/r.h\""},
      {"programs/controld/x.cc", "\"models/m.h\""},
      {"programs/controld/x.cc", "\"programs/cli/x.h\""},
      {"programs/console/x.cc", "\"services/control/c.h\""},
      {"base/x.cc", "\"tests/base/thrown.h\""},
      {"base/x.cc", "<ATen/ATen.h>"},
      {"policies/x.cc", "<c10/util/Exception.h>"},
      {"services/control/x.cc", "<ATen/core/Tensor.h>"},
      {"programs/cli/x.cc", "<torch/script.h>"},
      {"services/control/x.cc", "<pqxx/pqxx>"},
      {"trainer/x.cc", "<grpcpp/grpcpp.h>"},
      {"services/inference/x.cc", "\"masbak/v1/node.pb.h\""},
      {"programs/worker/x.cc", "<google/protobuf/message.h>"},
      {"services/control/x.cc", "<QString>"},
      {"base/x.cc", "<QtCore/QObject>"},
      {"models/x.cc", "<torch/torch.h>"},
      {"tests/models/x_test.cc", "<torch/torch.h>"},
      {"base/x.cc", "\"error.h\""},
      {"tests/base/x_test.cc", "\"thrown.h\""},
  };
  for (const Use& use : forbidden) {
    const auto found = violations_of(use);
    ASSERT_THAT(found, SizeIs(1)) << use.path << " " << use.include << "\n" << describe(found);
    EXPECT_EQ(found[0].path, use.path);
    EXPECT_EQ(found[0].line, 2);
  }
}

TEST(Includes, AllowsWhatTheOrderAllows) {
  const Use allowed[] = {
      {"models/x.cc", "\"base/error.h\""},
      {"adapters/x.cc", "\"models/m.h\""},
      {"trainer/x.cc", "\"adapters/a.h\""},
      {"registry/x.cc", "\"registry/r.h\""},
      {"registry/x.cc", "<pqxx/pqxx>"},
      {"services/control/x.cc", "\"registry/r.h\""},
      {"services/control/x.cc", "\"policies/p.h\""},
      {"services/node/x.cc", "\"masbak/v1/node.grpc.pb.h\""},
      {"services/inference/x.cc", "\"adapters/a.h\""},
      {"services/inference/x.cc", "<ATen/ATen.h>"},
      {"gui/x.cc", "\"masbak/v1/node.pb.h\""},
      {"gui/x.cc", "<QString>"},
      {"programs/console/x.cc", "\"gui/g.h\""},
      {"programs/worker/x.cc", "\"services/inference/i.h\""},
      {"programs/cli/y.cc", "\"programs/cli/x.h\""},
      {"base/x.cc", "<vector>"},
      {"tests/models/x_test.cc", "\"models/m.h\""},
      {"tests/services/x_test.cc", "<grpcpp/grpcpp.h>"},
  };
  for (const Use& use : allowed) {
    EXPECT_THAT(violations_of(use), IsEmpty()) << use.path << " " << use.include << describe(violations_of(use));
  }
}

TEST(Links, FindsWhatARoomMayNotLink) {
  const std::pair<const char*, const char*> forbidden[] = {
      {"base/CMakeLists.txt", "masbak_room(base LINKS LibTorch::LibTorch)"},
      {"policies/CMakeLists.txt", "masbak_room(policies LINKS masbak_base masbak_registry)"},
      {"registry/CMakeLists.txt", "masbak_room(registry LINKS masbak_base PRIVATE_LINKS gRPC::grpc++)"},
      {"trainer/CMakeLists.txt", "masbak_room(trainer\n  LINKS masbak_adapters # why\n  masbak_services)"},
      {"services/CMakeLists.txt", "masbak_room(services SOURCES ${sources} LINKS masbak_inference)"},
      {"services/CMakeLists.txt", "masbak_room(services LINKS Pqxx::Pqxx)"},
      {"services/inference/CMakeLists.txt", "masbak_room(inference LINKS masbak_adapters masbak_proto)"},
      {"gui/CMakeLists.txt", "target_link_libraries(masbak_gui PUBLIC Qt6::Core masbak_registry)"},
      {"programs/worker/CMakeLists.txt", "masbak_program(masbak-worker LINKS masbak_services)"},
      {"programs/cli/CMakeLists.txt", "masbak_program(masbak LINKS masbak_models)"},
      {"programs/cli/CMakeLists.txt", "masbak_program(masbak LINKS Qt6::Widgets)"},
  };
  for (const auto& [path, text] : forbidden) {
    const auto found = check_links({{path, text}});
    EXPECT_THAT(found, SizeIs(1)) << path << " " << text << "\n" << describe(found);
  }
}

TEST(Links, AllowsWhatTheOrderAllows) {
  EXPECT_THAT(check_links({{"models/CMakeLists.txt", "masbak_room(models LINKS masbak_base LibTorch::LibTorch)"},
                           {"services/CMakeLists.txt", "masbak_room(services LINKS masbak_registry masbak_proto)"},
                           {"services/proto/CMakeLists.txt", "target_link_libraries(masbak_proto PUBLIC gRPC::grpc++)"},
                           {"base/CMakeLists.txt", "# masbak_room(base LINKS LibTorch::LibTorch)\n"},
                           {"programs/worker/CMakeLists.txt",
                            "masbak_program(masbak-worker LINKS masbak_trainer masbak_inference CLI11::CLI11)"}}),
              IsEmpty());
}

TEST(LineLengths, CountCharactersNotBytes) {
  const std::string fits(120, 'x');
  std::string umlauts;
  for (int i = 0; i < 120; ++i) umlauts += "ü";
  EXPECT_THAT(check_line_lengths({{"base/a.cc", fits + "\n" + umlauts + "\n"}, {"docs/a.md", fits + "xx\n"}}),
              IsEmpty());
  const auto found = check_line_lengths({{"base/a.cc", "short\n" + fits + "x"}, {"tests/a.py", umlauts + "ü\n"}});
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].line, 2);
}

TEST(FileLengths, AreLimitedWithARatchet) {
  std::string text;
  for (int i = 0; i < 510; ++i) text += "int x;\n";
  EXPECT_THAT(check_file_lengths({{"base/a.cc", text}}, {}), SizeIs(1));
  EXPECT_THAT(check_file_lengths({{"base/a.cc", text}}, {{"base/a.cc", 510}}), IsEmpty());
  EXPECT_THAT(check_file_lengths({{"base/a.cc", text}}, {{"base/a.cc", 509}}), SizeIs(1));
  // An exception that has become too wide, or is for nobody, has to go.
  EXPECT_THAT(check_file_lengths({{"base/a.cc", text}}, {{"base/a.cc", 511}}), SizeIs(1));
  EXPECT_THAT(check_file_lengths({}, {{"base/gone.cc", 600}}), SizeIs(1));
  EXPECT_THAT(check_file_lengths({{"base/a.cc", text.substr(0, 500 * 7)}}, {}), IsEmpty());
}

std::string body(int lines) {
  std::string text = "{\n";
  for (int i = 0; i < lines - 2; ++i) text += i % 10 == 0 ? "  if (x) { y(); }\n" : "  z(\"}\");  // }\n";
  return text + "}\n";
}

TEST(FunctionLengths, FindLongBodiesOfEveryKind) {
  const char* heads[] = {
      "int main() ",
      "void Worker::run(int a,\n  int b) const noexcept ",
      "TEST(A, B) ",
      "template <typename T>\nauto f(T x) -> decltype(x) ",
      "Worker::Worker(int a) : a_(a), b_{a} ",
      "const auto f = [](int x) ",
      "bool operator==(const A& a, const A& b) ",
      "#define OPEN {\nvoid f() ",
  };
  for (const char* head : heads) {
    for (const std::string& around :
         {std::string("%"), std::string("namespace a::b {\nclass C {\n public:\n%};\n}\n")}) {
      const auto place = [&](int lines) {
        return Tree{{"base/a.cc", std::string(around).replace(around.find('%'), 1, head + body(lines))}};
      };
      EXPECT_THAT(check_function_lengths(place(81), {}), SizeIs(1)) << head;
      EXPECT_THAT(check_function_lengths(place(80), {}), IsEmpty()) << head;
    }
  }
}

TEST(FunctionLengths, LeaveTablesAndTypesAlone) {
  EXPECT_THAT(check_function_lengths({{"base/a.cc", "const int kTable[] = " + body(200)}}, {}), IsEmpty());
  EXPECT_THAT(check_function_lengths({{"base/a.cc", "const Map kTable = Map<int, A::B>" + body(200)}}, {}), IsEmpty());
  EXPECT_THAT(check_function_lengths({{"base/a.cc", "struct Big {\n" + std::string(200, '\n') + "};\n"}}, {}),
              IsEmpty());
  EXPECT_THAT(check_function_lengths(
                  {{"base/a.cc", "const char* kText = R\"(\nf() {\n" + std::string(200, '\n') + ")\";\n"}}, {}),
              IsEmpty());
}

TEST(FunctionLengths, HaveARatchet) {
  const Tree tree = {{"base/a.cc", "int main() " + body(90)}};
  EXPECT_THAT(check_function_lengths(tree, {{"base/a.cc", 90}}), IsEmpty());
  EXPECT_THAT(check_function_lengths(tree, {{"base/a.cc", 89}}), SizeIs(1));
  EXPECT_THAT(check_function_lengths(tree, {{"base/a.cc", 95}}), SizeIs(1));
}

// A tree in which everything is used.
Tree small_house() {
  return {
      {"CMakeLists.txt",
       "include(MasbakRoom)\nfind_package(Pqxx)\nadd_subdirectory(base)\nadd_subdirectory(services)\n"
       "add_subdirectory(programs)\nadd_subdirectory(tests)\n"},
      {"cmake/MasbakRoom.cmake", ""},
      {"cmake/FindPqxx.cmake", ""},
      {"base/CMakeLists.txt", "masbak_room(base)"},
      {"base/a.cc", "#include \"base/a.h\"\n"},
      {"base/deep/b.cc", ""},
      {"base/a.h", ""},
      {"services/CMakeLists.txt",
       "file(GLOB_RECURSE sources CONFIGURE_DEPENDS control/*.cc node/*.cc)\nmasbak_room(services SOURCES ${sources})\n"
       "add_subdirectory(proto)"},
      {"services/control/deep/c.cc", ""},
      {"services/proto/CMakeLists.txt", "file(GLOB protos ${CMAKE_CURRENT_SOURCE_DIR}/masbak/v1/*.proto)"},
      {"services/proto/masbak/v1/node.proto", ""},
      {"programs/CMakeLists.txt", "foreach(program cli noded)\n  add_subdirectory(${program})\nendforeach()"},
      {"programs/cli/CMakeLists.txt", "masbak_program(masbak)"},
      {"programs/cli/main.cc", ""},
      {"tests/CMakeLists.txt", "masbak_tests(base LINKS masbak_base)"},
      {"tests/base/a_test.cc", ""},
      {"tests/base/b_test.py", ""},
  };
}

TEST(DeadFiles, FindsNoneInATidyHouse) {
  EXPECT_THAT(check_dead_files(small_house()), IsEmpty()) << describe(check_dead_files(small_house()));
}

TEST(DeadFiles, FindsEachKind) {
  for (const char* dead : {"models/m.cc", "services/launcher/l.cc", "programs/other/main.cc", "base/unused.h",
                           "base/unused.inl", "services/proto/masbak/v1/deep/x.proto", "cmake/FindNothing.cmake",
                           "cmake/Unused.cmake", "tests/gone/a_test.cc", "tests/gone/a_test.py", "base/kernel.cu"}) {
    Tree tree = small_house();
    tree.emplace(dead, "");
    const auto found = check_dead_files(tree);
    ASSERT_THAT(found, SizeIs(1)) << dead << "\n" << describe(found);
    EXPECT_EQ(found[0].path, dead);
  }
}

TEST(DeadFiles, NoticesAFolderThatTheBuildNeverReaches) {
  Tree tree = small_house();
  tree["CMakeLists.txt"] =
      "include(MasbakRoom)\nfind_package(Pqxx)\n# add_subdirectory(base)\n"
      "add_subdirectory(services)\nadd_subdirectory(programs)\nadd_subdirectory(tests)\n";
  EXPECT_THAT(check_dead_files(tree), SizeIs(2));
  tree.emplace("base/self.h", "#include \"base/self.h\"\n");
  EXPECT_THAT(check_dead_files(tree), SizeIs(3));
}

TEST(ForbiddenWords, FindsEachInAnyTextFile) {
  const std::string work = std::string("/wo") + "rk/", todo = std::string("TO") + "DO";
  const std::string texts[] = {
      "see ../sh" + std::string("ared/design.md"),
      "cd " + work + "main",
      work + "x",
      "\"" + work + "\"",
      "// " + todo + ": later",
      "# FIX" + std::string("ME"),
      todo + "(me)",
  };
  for (const std::string& text : texts) {
    for (const char* path : {"base/a.cc", "docs/a.md", "installer/install", "tests/a.py"}) {
      const auto found = check_forbidden_words({{path, "first\n" + text + "\n"}});
      ASSERT_THAT(found, SizeIs(1)) << text;
      EXPECT_EQ(found[0].line, 2);
    }
  }
}

TEST(ForbiddenWords, LeavesLookAlikesAlone) {
  const std::string work = std::string("/wo") + "rk/", todo = std::string("TO") + "DO";
  EXPECT_THAT(check_forbidden_words({{"a.md", "job" + work + " ." + work + " ${DATA}" + work + " " + todo +
                                                  "S\nshared_experts ../share\n"}}),
              IsEmpty());
}

TEST(Readmes, AreMissed) {
  EXPECT_THAT(check_readmes({{"base/a.cc", ""}, {"base/README.md", ""}, {"tests/a.cc", ""}}), IsEmpty());
  const auto found = check_readmes({{"base/a.cc", ""}, {"models/layers/a.h", ""}, {"base/README.md", ""}});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].path, "models/README.md");
}

TEST(ReadTree, ReadsTextOfAnUnpackedArchiveButNotItsBuildFolder) {
  const base::TemporaryFolder folder;
  for (const char* file : {"base/error.h", "build/x.h", "build-debug/y.h", ".hidden/z.h", "docs/a.md"}) {
    base::write_file_durably(folder / file, "text\n");
  }
  base::write_file_durably(folder / "docs/image.png", std::string("\x89PNG\0", 5));
  EXPECT_EQ(read_tree(folder.path()), (Tree{{"base/error.h", "text\n"}, {"docs/a.md", "text\n"}}));
}

TEST(WithoutCommentsAndLiterals, KeepsLinesAndCode) {
  EXPECT_EQ(without_comments_and_literals("a // {\nb /* {\n */ c \"{\\\"{\" d '{' e 1'000 f"),
            "a     \nb     \n    c        d     e 1'000 f");
  EXPECT_THAT(without_comments_and_literals("x R\"sql({ \"\n)sql\" y"), HasSubstr(" y"));
}

}  // namespace
}  // namespace masbak::tidy
