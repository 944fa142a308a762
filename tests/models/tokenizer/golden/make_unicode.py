"""Writes models/tokenizer/unicode_changes.cc: where the reference's Unicode differs from the libraries that we use.

Hugging Face's tokenizers mixes the tables of several crates, each of another Unicode version. This asks tokenizers
about every code point and writes down where it differs from utf8proc (categories, normal forms, lower case) and from
PCRE2 (characters newer than its tables). Run it with the Python of the oracle environment when tokenizers, Debian's
utf8proc or PCRE2 change:  make_unicode.py > models/tokenizer/unicode_changes.cc
"""

import ctypes
import struct
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
# The order of utf8proc_category_t.
CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Devanagari Common Inherited".split()
utf8proc = ctypes.CDLL("libutf8proc.so.2")
utf8proc.utf8proc_get_property.restype = ctypes.c_void_p


def isolated(pre_tokenizer, points=None, separator="\ue000"):
    """The code points that a pre-tokenizer isolates from a neighbour that it does not match."""
    points, found = points or POINTS, set()
    for at in range(0, len(points), 20000):
        part = points[at:at + 20000]
        text = separator + separator.join(map(chr, part)) + separator
        for _, (begin, end) in pre_tokenizer.pre_tokenize_str(text):
            if end - begin == 1 and begin % 2 == 1:
                found.add(part[begin // 2])
    return found


def matched(expression, points=None, separator="\ue000"):
    return isolated(pre_tokenizers.Split(Regex(expression), "isolated"), points, separator)


def ranges(points):
    found = []
    for point in sorted(points):
        if found and found[-1][1] == point - 1:
            found[-1][1] = point
        else:
            found.append([point, point])
    return found


def word_characters():
    """What the regex crate's \\w takes: with an "a" on both sides it makes one piece."""
    found = set()
    for at in range(0, len(POINTS), 20000):
        part = POINTS[at:at + 20000]
        text = "a" + "a".join(map(chr, part)) + "a"
        single = bytearray(len(text))
        for _, (begin, end) in pre_tokenizers.Whitespace().pre_tokenize_str(text):
            if end - begin > 1:
                single[begin:end] = b"\1" * (end - begin)
        found.update(point for i, point in enumerate(part) if single[2 * i + 1])
    return found


def vanishing(normalizer):
    return {c for c in POINTS if normalizer.normalize_str(chr(c)) == ""}


def combining_class(point):
    return ctypes.c_int16.from_address(utf8proc.utf8proc_get_property(point) + 2).value


def utf8proc_map(text, options):
    data, out = text.encode(), ctypes.c_void_p()
    size = utf8proc.utf8proc_map(data, ctypes.c_ssize_t(len(data)), ctypes.byref(out), options)
    return ctypes.string_at(out, size).decode()


def joins_letter(point, charsmap):
    """Whether a grapheme goes on with this character: a map of "a" alone then swallows it."""
    return charsmap.normalize_str("a" + chr(point)) == "!"


def charsmap_of(key):
    """A SentencePiece character map that turns one character into "!"."""
    array = [0] * 1024
    array[0] = 256 << 10
    position, offset = 256, 512
    data = key.encode()
    for i, byte in enumerate(data):
        last = i + 1 == len(data)
        position ^= byte
        array[position] = byte | (1 << 8 if last else 0) | offset << 10
        position ^= offset
        offset = 256 if offset == 512 else 512
    array[position] = 1 << 31
    trie = struct.pack("<1024I", *array)
    return normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"!\0")


def proxies(category, old):
    """For characters that PCRE2 does not know yet: an older one that its patterns treat the same."""
    changed = [c for c in POINTS if category[c] != old[c]]
    script = {}
    for name in SCRIPTS:
        for point in matched(r"\p{%s}" % name):
            script[point] = name
    groups = {}
    for point in POINTS:
        if category[point] == old[point]:
            groups.setdefault((category[point], len(chr(point).encode()), script.get(point)), []).append(point)
    result = []
    for point in changed:
        length = len(chr(point).encode())
        near = groups.get((category[point], length, script.get(point)))
        near = near or [c for key, value in groups.items() if key[:2] == (category[point], length) for c in value]
        result.append((point, min(near, key=lambda c: abs(c - point))))
    rows = []
    for point, proxy in result:
        if rows and rows[-1][1] == point - 1 and rows[-1][2] == proxy:
            rows[-1][1] = point
        else:
            rows.append([point, point, proxy])
    # Neighbours may share one proxy: it need not be the nearest for each of a run.
    merged = []
    for row in rows:
        last = merged[-1] if merged else None
        same = last and last[1] == row[0] - 1 and category[last[0]] == category[row[0]]
        if same and script.get(last[0]) == script.get(row[0]):
            last[1] = row[1]
        else:
            merged.append(row)
    return merged


def emit(kind, name, rows, comment):
    print(f"\n// {comment}\nstd::span<const {kind}> {name}() {{")
    print(f"  static constexpr {kind} kRows[] = {{")
    line = "     "
    for row in rows:
        item = " {" + ", ".join(f"0x{value:X}" for value in row) + "},"
        if len(line) + len(item) > 118:
            print(line)
            line = "     "
        line += item
    print(line + "\n  };\n  return kRows;\n}")


def main():
    assert unicodedata.unidata_version == "14.0.0", "PCRE2 10.42 has Unicode 14, and so must this Python"
    category = {}
    for name in CATEGORIES:
        if name not in ("Cn", "Cs"):
            separator = "a" if name == "Co" else "\ue000"
            category.update(dict.fromkeys(matched(r"\p{%s}" % name, separator=separator), name))
    category[0xE000] = "Co"
    category = {c: category.get(c, "Cn") for c in POINTS}
    mine = {c: CATEGORIES[utf8proc.utf8proc_category(c)] for c in POINTS}
    rows = []
    for c in POINTS:
        if category[c] != mine[c]:
            number = CATEGORIES.index(category[c])
            if rows and rows[-1][1] == c - 1 and rows[-1][2] == number:
                rows[-1][1] = c
            else:
                rows.append([c, c, number])
    among = lambda names: {c for c in POINTS if category[c] in names}  # noqa: E731
    letters, marks = among("Lu Ll Lt Lm Lo".split()), among("Mn Mc Me".split())
    print("// Written by tests/models/tokenizer/golden/make_unicode.py. Do not edit.")
    print('#include "models/tokenizer/unicode_changes.h"\n\nnamespace masbak::models {')
    emit("CategoryRange", "category_changes", rows, "Oniguruma's general categories against utf8proc's.")
    numeric = isolated(pre_tokenizers.Digits(individual_digits=True))
    emit("CodeRange", "numeric_changes", ranges(numeric ^ among("Nd Nl No".split())), "Digits against N*.")
    ascii_punctuation = {c for c in range(33, 127) if not chr(c).isalnum()}
    punctuation = isolated(pre_tokenizers.Punctuation("isolated"))
    emit("CodeRange", "punctuation_changes", ranges(
        punctuation ^ (among("Pc Pd Ps Pe Pi Pf Po".split()) | ascii_punctuation)), "Punctuation against P*.")
    word = letters | marks | among(["Nd", "Pc"])
    emit("CodeRange", "word_changes", ranges(word_characters() ^ word), "The regex crate's \\w against L*, M*, Nd, Pc.")
    emit("CodeRange", "pattern_word_changes", ranges(matched(r"\w") ^ word), "Oniguruma's \\w against L*, M*, Nd, Pc.")
    emit("CodeRange", "accent_changes", ranges(vanishing(normalizers.StripAccents()) ^ marks),
         "StripAccents against M*.")
    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    emit("CodeRange", "bert_accent_changes", ranges(
        vanishing(normalizers.BertNormalizer(**{**bert, "strip_accents": True})) ^ among(["Mn"])),
        "BertNormalizer's accents against Mn.")
    control = vanishing(normalizers.BertNormalizer(**{**bert, "clean_text": True}))
    emit("CodeRange", "bert_control_changes", ranges(control ^ among(["Cc", "Cf", "Co"])),
         "What BertNormalizer cleans away against Cc, Cf, Co.")
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    # Options of utf8proc_map: 2 is STABLE, 4 COMPAT, 16 DECOMPOSE.
    canonical = {c for c in POINTS[1:] if utf8proc_map(chr(c), 2 | 16) != chr(c)}
    compatible = {c for c in POINTS[1:] if utf8proc_map(chr(c), 2 | 4 | 16) != chr(c)}
    old_canonical = {c for c in canonical if nfd.normalize_str(chr(c)) == chr(c)}
    emit("CodeRange", "whole_characters", ranges(old_canonical),
         "Characters that utf8proc decomposes, but NFD does not.")
    emit("CodeRange", "whole_compatible_characters", ranges(
        {c for c in compatible if nfkd.normalize_str(chr(c)) == chr(c)}), "And NFKD does not.")
    for c in POINTS[1:]:
        for form, options in ((nfd, 2 | 16), (nfkd, 2 | 4 | 16)):
            got = form.normalize_str(chr(c))
            assert got in (chr(c), utf8proc_map(chr(c), options)), hex(c)
    unordered = {c for c in POINTS if combining_class(c) and nfd.normalize_str("\u0345" + chr(c)) == "\u0345" + chr(c)
                 and nfd.normalize_str(chr(c) + "\u0334") == chr(c) + "\u0334"} - {0x334, 0x345}
    unordered = {c for c in unordered if combining_class(c) > 1 or nfd.normalize_str("\u0301" + chr(c))[0] == "\u0301"}
    emit("CodeRange", "starters", ranges(unordered), "Marks of utf8proc's that the reference does not put in order.")
    lower = normalizers.Lowercase()
    changes = []
    for c in POINTS:
        got = lower.normalize_str(chr(c))
        if len(got) == 1 and ord(got) != utf8proc.utf8proc_tolower(c):
            changes.append([c, ord(got)])
        assert len(got) == 1 or c == 0x130, hex(c)
    emit("CasePair", "lower_changes", changes, "Lower case.")
    charsmap = charsmap_of("a")
    joining = {c for c in POINTS[1:] if joins_letter(c, charsmap)}
    breaks = {c for c in POINTS[1:] if utf8proc.utf8proc_grapheme_break(ord("a"), c) & 1}
    emit("CodeRange", "joining_changes", ranges(joining ^ (set(POINTS[1:]) - breaks)),
         "Characters that continue a grapheme, against utf8proc.")
    old = {c: unicodedata.category(chr(c)) for c in POINTS}
    emit("ProxyRange", "pattern_proxies", proxies(category, old),
         "Characters that PCRE2's tables have otherwise: first, last, and one that its patterns treat the same.")
    print("\n}  // namespace masbak::models")


if __name__ == "__main__":
    main()
