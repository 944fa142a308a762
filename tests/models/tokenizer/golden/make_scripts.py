"""Writes models/tokenizer/scripts.cc: the scripts that the pre-tokenizer UnicodeScripts tells apart, by asking it about
every code point. Run it with the Python of the oracle environment:  make_scripts.py > models/tokenizer/scripts.cc
"""

from tokenizers import pre_tokenizers


def main():
    cut = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    representatives, rows, before = [], [], None
    for point in range(0x110000):
        if 0xD800 <= point <= 0xDFFF:
            continue
        character = chr(point)
        if not cut(character):
            script = -1
        elif before is not None and before >= 0 and len(cut(representatives[before] + character)) == 1:
            script = before
        else:
            same = (i for i, other in enumerate(representatives) if len(cut(other + character)) == 1)
            script = next(same, len(representatives))
            if script == len(representatives):
                representatives.append(character)
        if rows and rows[-1][2] == script and rows[-1][1] == point - 1:
            rows[-1][1] = point
        elif script >= 0:
            rows.append([point, point, script])
        before = script
    print("// Written by tests/models/tokenizer/golden/make_scripts.py. Do not edit.")
    print('#include "models/tokenizer/scripts.h"\n\n#include <algorithm>\n#include <iterator>\n')
    print("namespace masbak::models {\nnamespace {\n\nstruct Row {\n  char32_t first, last;\n  int script;\n};\n")
    print("constexpr Row kRows[] = {")
    line = "   "
    for first, last, script in rows:
        item = f" {{0x{first:X}, 0x{last:X}, {script}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};\n\n}  // namespace\n")
    print("int script_of(char32_t point) {")
    print("  auto behind = std::upper_bound(std::begin(kRows), std::end(kRows), point,")
    print("                                 [](char32_t value, const Row& row) { return value < row.first; });")
    print("  if (behind == std::begin(kRows)) return kAnyScript;")
    print("  const Row& row = *std::prev(behind);")
    print("  return point <= row.last ? row.script : kAnyScript;\n}\n\n}  // namespace masbak::models")


if __name__ == "__main__":
    main()
