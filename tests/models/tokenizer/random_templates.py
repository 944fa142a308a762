"""Random templates from a grammar of the language, for comparison with jinja2: expressions of every kind over a small
context, in statements of every kind. Most are sensible, some fail, as jinja2 then says too."""

CONTEXT = {
    "messages": [{"role": "user", "content": "Héllo wörld", "n": 3}, {"role": "assistant", "content": "<b>&'\"",
                                                                      "n": -7}],
    "s": "one two  three", "t": "Ünï\tcödé\nأهلا 👷", "x": 5, "y": -2, "f": 2.5, "g": 1e16, "yes": True, "nothing": None,
    "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, {"k": None}], "C": "z"}, "e": [], "o": {},
}

NAMES = ["s", "t", "x", "y", "f", "g", "yes", "nothing", "l", "words", "d", "e", "o", "messages", "missing"]
TEXTS = ["''", "'a'", "'one'", "' two '", "'é\\n'", "\"it's\"", "'%s'", "'%d|%5.1f'", "'{}'", "'a,b,,c'", "'42'",
         "'4.5'"]
NUMBERS = ["0", "1", "2", "3", "-1", "7", "10", "2.5", "0.1", "1e3", "100000"]
METHODS = ["strip()", "split()", "split('o')", "split(' ', 1)", "rsplit(' ', 1)", "upper()", "lower()", "title()",
           "capitalize()", "swapcase()", "replace('o', '0')", "replace('', '-', 2)", "startswith('o')",
           "endswith(('e', 'd'))",
           "find('o')", "rfind('o')", "count('o')", "index('o')", "join(words)", "splitlines()", "partition(' ')",
           "rpartition(' ')", "zfill(4)", "center(9)", "center(8, '*')", "ljust(5)", "rjust(7, '.')", "isdigit()",
           "isalpha()",
           "isalnum()", "isspace()", "islower()", "isupper()", "istitle()", "isidentifier()", "lstrip('o')", "rstrip()",
           "removeprefix('o')", "removesuffix('e')", "expandtabs(3)", "casefold()", "format(1, 'q')", "get('a')",
           "get('q', 7)", "keys()", "values()", "items()", "copy()", "count(1)", "index(1)", "append(1)", "pop()",
           "nope()", "isascii()", "isnumeric()"]
FILTERS = ["trim", "upper", "lower", "title", "capitalize", "length", "count", "first", "last", "list", "reverse",
           "reverse | list", "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "unique | list", "join",
           "join(', ')",
           "join('-', attribute='role')", "string", "int", "int(9)", "int(base=16)", "float", "float(1.5)", "abs",
           "round",
           "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "default('q')", "d('q', true)", "tojson",
           "tojson(indent=2)",
           "tojson(sort_keys=true, separators=(',', ':'))", "tojson(ensure_ascii=true)", "sum", "min", "max",
           "items | list",
           "dictsort", "dictsort(by='value')", "dictsort(true, reverse=true)", "map('upper') | list",
           "map(attribute='n') | list",
           "map(attribute='zz', default=0) | list", "map('string') | join('+')", "select | list",
           "reject('string') | list",
           "select('odd') | list", "selectattr('n', 'gt', 0) | list", "rejectattr('n') | list", "batch(2) | list",
           "batch(2, 'z') | list", "slice(2) | list", "slice(3, 0) | list", "groupby('role') | list", "indent",
           "indent(2, true)",
           "indent('> ', blank=true)", "truncate(5)", "truncate(4, true, '')", "wordcount", "replace('o', 'x')",
           "center(11)",
           "pprint", "wordwrap(6)",
           "wordwrap(9, false, '|', false)", "filesizeformat", "filesizeformat(true)", "xmlattr",
           "urlencode", "escape", "e", "safe", "format(1)", "attr('x')", "forceescape"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping",
         "sequence", "iterable", "callable", "odd", "even", "divisibleby(2)", "divisibleby 3", "lower", "upper",
         "sameas none",
         "in [1, 5]", "eq 5", "ne 1", "lt 3", "ge(2)", "escaped", "filter", "test"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in"]


class Maker:
    def __init__(self, draw):
        self.draw = draw
        self.names = list(NAMES)

    def pick(self, items):
        return self.draw.choice(items)

    def expression(self, depth=3):
        if depth == 0 or self.draw.random() < 0.2:
            return self.pick([self.pick(self.names), self.pick(self.names), self.pick(TEXTS), self.pick(NUMBERS),
                              self.pick(["true", "none", "l", "d", "words"])])
        inner = lambda: self.expression(depth - 1)  # noqa: E731
        kind = self.draw.randrange(17)
        if kind < 3:
            return f"{inner()} {self.pick(OPERATORS)} {inner()}"
        if kind < 6:
            return f"{self.group(depth)} | {self.pick(FILTERS)}"
        if kind < 8:
            return f"{self.group(depth)}.{self.pick(METHODS)}"
        if kind == 8:
            return f"{self.group(depth)} is {self.pick(['', 'not '])}{self.pick(TESTS)}"
        if kind == 9:
            return f"({inner()} if {inner()}{self.pick([' else ' + inner(), ''])})"
        if kind == 10:
            return f"[{inner()}, {inner()}]" if self.draw.random() < 0.6 else f"({inner()},)"
        if kind == 11:
            return f"{{'k': {inner()}, {self.pick(TEXTS + NUMBERS)}: {inner()}}}"
        if kind == 12:
            part = lambda: self.pick(["", "", "1", "-1", "2", "-3", "x", "9"])  # noqa: E731
            return f"{self.pick(self.names)}[{part()}:{part()}{self.pick(['', ':' + self.pick(['2', '-1', ''])])}]"
        if kind == 13:
            return f"{self.group(depth)}[{self.pick(['0', '-1', repr('a'), repr('role'), repr('zz'), 'x', 'yes'])}]"
        if kind == 14:
            return f"{self.group(depth)}.{self.pick(['role', 'a', 'b', 'zz', 'content', 'k', '0', 'n'])}"
        if kind == 15:
            return f"{self.pick(['not ', '-', '+'])}{self.group(depth)}"
        return self.pick([f"range({self.pick(['0', '1', '3', 'x'])})", f"dict(a={inner()})",
                          f"namespace(a={inner()}).a",
                          f"(x, {inner()}) | join('/')", f"'%s %s' % ({inner()}, 1)",
                          f"'{{}}-{{:>4}}'.format({inner()}, 2)",
                          f"{self.pick(NUMBERS)} ** {self.pick(['2', '3', '0', '-1'])}", "1 < x <= 5 < 9",
                          f"cycler('a', {inner()}).next()"])

    def group(self, depth):
        text = self.expression(depth - 1)
        return text if text.isidentifier() else f"({text})"

    def dash(self, left):
        sign = self.pick(["", "", "", "-", "+"])
        return "{%" + sign + " " if left else " " + (sign if sign == "-" else self.pick(["", "", "+"])) + "%}"

    def tag(self, text):
        return self.dash(True) + text + self.dash(False)

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.draw.randint(1, 3)))

    def statement(self, depth):
        kind = self.draw.randrange(16)
        if depth == 0 or kind < 5:
            return self.pick(["{{ %s }}", "{{- %s }}", "{{ %s -}}", "{{ %s }}\n"]) % self.expression()
        body = lambda: self.block(depth - 1)  # noqa: E731
        if kind < 7:
            return self.pick(["\n", "  ", " text\n", "\n  \n", "{# note #}", "  {#- note -#}\n",
                              "{% raw %}{{ x }}{% endraw %}"])
        if kind == 7:
            return (self.tag(f"if {self.expression()}") + body() + self.pick(["", self.tag("else") + body()]) +
                    self.tag("endif"))
        if kind < 10:
            return self.loop(body)
        if kind == 10:
            name = self.pick(["v", "w"])
            text = self.tag(f"set {name} = {self.expression()}")
            self.names.append(name)
            return text
        if kind == 11:
            return self.tag(f"set v{self.pick(['', ' | upper', ' | trim'])}") + body() + self.tag("endset") + "{{ v }}"
        if kind == 12:
            return self.tag(f"with q = {self.expression()}, x = 9") + body() + "{{ q }}" + self.tag("endwith")
        if kind == 13:
            name = self.pick(["upper", "trim", "length", "indent(1)"])
            return self.tag(f"filter {name}") + body() + self.tag("endfilter")
        if kind == 14:
            return ("{% set ns = namespace(i=0) %}{% for m in l %}{% set ns.i = ns.i + m %}{% set x = m %}{% endfor %}"
                    "{{ ns.i }}{{ x }}")
        macro = self.pick(["{% macro m(a, b=2) %}", "{% macro m(a, b=x) %}",
                           "{% macro m(a) %}{{ varargs }}{{ kwargs }}",
                           "{% macro m(a, b=a) %}{{ caller() if caller }}"])
        calls = self.pick(["{{ m(1) }}", "{{ m(s, 3) }}", "{{ m() }}", "{{ m(1, b=4, c=5) }}", "{{ m(1, 2, 3) }}",
                           "{% call m(7) %}in {{ x }}{% endcall %}"])
        return macro + "{{ a }}{{ b }}" + body() + "{% endmacro %}" + calls

    def loop(self, body):
        head = self.pick(["m in messages", "m in l", "m in words if m != 'c'", "k, m in d.items()", "m in s",
                          "m in range(3)",
                          "m in missing", f"m in {self.expression(2)}", "a, b in [(1, 2), (3, 4)]", "m in d",
                          "m in messages[1:]", "m in [l, [e, [x]]] recursive"])
        inside = self.pick(["{{ loop.index }}", "{{ loop.last }}{{ loop.first }}", "{{ loop.length }}", "{{ m }}",
                            "{{ m.role }}",
                            "{{ loop.previtem }}", "{{ loop.nextitem is defined }}", "{{ loop.cycle('a', 'b') }}",
                            "{{ loop.changed(m) }}", "{% if loop.index == 2 %}{% break %}{% endif %}",
                            "{% if loop.first %}{% continue %}{% endif %}{{ m }}",
                            "{{ loop.revindex0 }}{{ loop.depth }}",
                            "{{ loop(m) if m is iterable and m is not string and m }}"])
        other = self.pick(["", "", "{% else %}none"])
        return self.tag(f"for {head}") + inside + body() + other + self.tag("endfor")


def template(draw):
    return Maker(draw).block(2)
