# A thin front to the CMake presets (CMakePresets.json).
.PHONY: all build programs configure install demo test test-fast test-slow bench format lint clean console oracle

all: build

install:
	@installer/install

configure: install
	@mkdir -p build && { cmake --preset dev > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }; }

build: configure
	@cmake --build --preset dev

# Without the tests, which take half of a build.
programs: configure
	@cmake --build --preset dev --target programs/all

# The whole line on real weights; KEEP=1 leaves the installation running.
demo: programs
	@KEEP=$(KEEP) examples/refinery/demo

oracle: install
	@installer/install --oracle

test: build oracle
	@ctest --preset dev -j2

test-fast: build
	@ctest --preset dev -j2 -L fast

test-slow: build oracle
	@ctest --preset dev -j2 -L slow

bench: programs oracle
	@bench/run

console: programs
	@build/bin/masbak-console

format:
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

lint: build
	@git ls-files '*.cc' '*.h' | xargs clang-format --dry-run -Werror
	@git ls-files '*.cc' | xargs clang-tidy -p build --quiet

clean:
	@rm -rf build
