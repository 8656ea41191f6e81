# SPDX-License-Identifier: BSD-2-Clause

## make             compiles the nginx modules and the Python loader to build/
## make modules     the first of them alone
## make run         nginx in the foreground: the demo, or CONF=my.conf, or
##                  APP=folder/module:app; PORT=20000; WATCH=1: with a new
##                  worker when a .py file changes
## make test        everything there is to test; SUITES="unit kafka" some of it
## make lint        what the linters say
## make soak        an hour of load, and all under valgrind; SOAK_S= seconds,
##                  SOAK="soaks web sockets kafka model fuzz valgrind"
##                  parts
## make bench       what a call costs, against other ways to have Python answer
## make bench-streams
##                  the part of that which is about streams
## make bench-web   and that which is about web applications
## make bench-status
##                  what ffi_status_zone costs a call
## make bench-kafka what Kafka costs
## make bench-compare OLD=../old
##                  this tree against another one, PAIRS=15
## make install     copies what it has compiled; DESTDIR= PREFIX=/usr/local
## make uninstall   removes that
## make deps        installs the packages that make and make run need
## make deps-test   and those that make test needs
## make asan        make, with ASan and UBSan, to build/asan
## make unit        compiles the unit tests of the bridge
## make fuzzers     compiles the fuzzers in C
## make clean       removes build/
## make help        prints this
##
## NGINX_BIN=/usr/sbin/nginx       the nginx to build for and to run
## NGINX_SRC=                      its sources, if not those of nginx-dev
## FFI_LUA=NO                      leaves out the module with Lua
## LUAJIT_INC=                     where LuaJIT's lua.h is, if it is not found
## PYTHON=/usr/bin/python3         CPython 3.10 or newer with a shared libpython
## CC= CFLAGS= LDFLAGS=            as usual
## BUILD_DIR=build                 where what is compiled goes
## SKIP_DEPS=1                     leaves the system's packages alone

NGINX_BIN ?= /usr/sbin/nginx
NGINX_SRC ?= $(firstword $(patsubst %/configure,%,$(wildcard \
               /usr/share/nginx/src/configure)) \
               build/nginx-dev/usr/share/nginx/src)
PYTHON    ?= /usr/bin/python3
PORT      ?= 20000
CONF      ?=
APP       ?=
WATCH     ?=
PREFIX    ?= /usr/local
DESTDIR   ?=
SKIP_DEPS ?=
FFI_LUA   ?=

CFLAGS    ?= -O2 -g
LDFLAGS   ?=
STRICT    := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror

ifeq ($(origin CC),default)
CC := gcc
endif

# Where what is compiled goes; what is the same for all is in build.
BUILD_DIR ?= build

NGINX_MODULES := $(BUILD_DIR)/modules/ngx_http_ffi_module.so
ifneq ($(FFI_LUA),NO)
NGINX_MODULES += $(BUILD_DIR)/modules/ngx_http_lua_ffi_module.so
endif
LOADER       := $(BUILD_DIR)/lib/libffi_python3.so
LOADER_ALIAS := $(BUILD_DIR)/lib/libresty_ffi_python.so
PACKAGES     := $(BUILD_DIR)/lib/resty-python

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

# Replaces $@ in one step: a process that has it open keeps the old file.
replace = mv -f $@.new $@
# Touches $@ only where what the recipe wrote differs.
if_changed = if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi

.PHONY: all
all: $(NGINX_MODULES) $(LOADER) $(LOADER_ALIAS) $(PACKAGES)

.PHONY: modules
modules: $(NGINX_MODULES)

.PHONY: FORCE
FORCE:

# What stands behind two hashes in this file.
.PHONY: help
help:
	@sed -n 's/^## \{0,1\}//p' Makefile


# ---- the nginx module

LUA_SOURCE := build/gen/ffi_lua.h build/gen/ffi_stream_lua.h \
              build/gen/ffi_respond_lua.h
VERSION_H  := build/gen/version.h
STATUS_H   := build/gen/ffi_status_html.h

export NGINX_BIN NGINX_SRC BUILD_DIR CC CFLAGS LDFLAGS FFI_LUA

$(BUILD_DIR)/nginx/key: FORCE
	@scripts/nginx-module configure

build/gen/ffi_lua.h: lua/resty/ffi.lua
build/gen/ffi_stream_lua.h: lua/resty/ffi/stream.lua
build/gen/ffi_respond_lua.h: lua/resty/ffi/respond.lua

$(LUA_SOURCE): build/gen/%_lua.h: scripts/embed
	@mkdir -p $(@D)
	scripts/embed ngx_$(subst ffi,ffi_lua,$*)_source \
	    < $(filter %.lua,$^) > $@.new
	@$(replace)

$(STATUS_H): src/nginx/http/status.html scripts/embed
	@mkdir -p $(@D)
	scripts/embed ngx_http_ffi_status_html < $< > $@.new
	@$(replace)

$(VERSION_H): VERSION
	@mkdir -p $(@D)
	@echo '#define RESTY_FFI_VERSION "$(shell cat VERSION)"' > $@.new
	@$(replace)

$(NGINX_MODULES) &: $(BUILD_DIR)/nginx/key $(LUA_SOURCE) $(VERSION_H) \
                   $(STATUS_H) $(wildcard src/bridge/* src/nginx/*/* include/*)
	@mkdir -p $(@D)
	+scripts/nginx-module build
	for name in $(notdir $(NGINX_MODULES)); do \
	    cp $(BUILD_DIR)/nginx/objs/$$name $(@D)/$$name.new && \
	    mv -f $(@D)/$$name.new $(@D)/$$name || exit 1; \
	done



# ---- the Python loader

PY_C       := $(wildcard src/loader/*.c)
PY_OBJECTS := $(PY_C:src/loader/%.c=$(BUILD_DIR)/obj/loader/%.o)
PY_SOURCES := $(patsubst python/resty_ffi/_loader/%.py,build/gen/%_py.h, \
                  $(wildcard python/resty_ffi/_loader/[!_]*.py))

build/gen/python.cflags build/gen/python.ldflags: build/gen/python.%: FORCE
	@mkdir -p $(@D)
	@$(PYTHON) scripts/python_config.py $* > $@.new
	@$(if_changed)

build/gen/%_py.h: python/resty_ffi/_loader/%.py scripts/embed
	@mkdir -p $(@D)
	scripts/embed $*_py < $< > $@.new
	@$(replace)

# TLS: see config
$(BUILD_DIR)/obj/loader/%.o: src/loader/%.c build/gen/python.cflags $(PY_SOURCES)
	@mkdir -p $(@D)
	$(CC) $(STRICT) -fPIC -fvisibility=hidden -pthread $(CPPFLAGS) \
	    -ftls-model=initial-exec \
	    $(CFLAGS) -MMD -MP -Iinclude -Ibuild/gen @build/gen/python.cflags \
	    -c $< -o $@

$(LOADER): $(PY_OBJECTS) build/gen/python.ldflags
	@mkdir -p $(@D)
	$(CC) -shared -pthread -Wl,-z,nodelete $(CFLAGS) $(LDFLAGS) \
	    $(PY_OBJECTS) @build/gen/python.ldflags -lz -ldl -o $@.new
	@$(replace)

$(LOADER_ALIAS): | $(LOADER)
	ln -sfn $(notdir $(LOADER)) $@

# where the loader finds our packages
$(PACKAGES): FORCE | $(LOADER)
	@to=$$(realpath --relative-to=$(dir $@) python) \
	    && { [ "$$(readlink $@)" = "$$to" ] || ln -sfn "$$to" $@; }

-include $(PY_OBJECTS:.o=.d)


# ---- both of them under ASan and UBSan, in build/asan

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: asan
asan:
	@ASAN_OPTIONS=detect_leaks=0 $(MAKE) --no-print-directory all \
	    BUILD_DIR=build/asan CFLAGS='-O1 -g -fno-omit-frame-pointer $(ASAN)' \
	    LDFLAGS='$(ASAN)'


# ---- the unit tests of the bridge: plain, and under sanitizers

UNIT        := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_COMMON := $(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)) \
               $(wildcard src/bridge/*.c)
UNIT_BUILDS := plain asan tsan
UNIT_TESTS  := $(foreach b,$(UNIT_BUILDS),$(UNIT:%=build/unit/$b/%))

UNIT_plain := -O2
UNIT_asan  := -O1 $(ASAN)
UNIT_tsan  := -O1 -fsanitize=thread

comma := ,
UNIT_LINK_test_alloc := $(addprefix -Wl$(comma)--wrap=,malloc calloc eventfd \
                          pthread_key_create pthread_setspecific \
                          pthread_atfork)

define unit_rule
build/unit/$1/%: tests/unit/%.c $$(UNIT_COMMON) \
                 $$(wildcard src/bridge/*.h include/*.h tests/unit/*.h)
	@mkdir -p $$(@D)
	$$(CC) $$(STRICT) -g $$(UNIT_$1) -pthread -Isrc/bridge -Iinclude \
	    -Itests/unit $$< $$(UNIT_COMMON) $$(UNIT_LINK_$$*) -lcmocka \
	    -o $$@
endef
$(foreach b,$(UNIT_BUILDS),$(eval $(call unit_rule,$b)))

.PHONY: unit
unit: $(UNIT_TESTS)


# ---- the bridge in a model checker, see tests/model/model.h

# Where a copy of the bridge is, in src, and the program goes.
MODEL        := build/model/plain
MODEL_COMMON := $(patsubst tests/model/%.c,build/model/obj/%.o, \
                    $(wildcard tests/model/*.c))
MODEL_BRIDGE := $(patsubst src/bridge/%.c,$(MODEL)/obj/%.o, \
                    $(wildcard src/bridge/*.c))
MODEL_FLAGS  := $(STRICT) -g -O2 -U_FORTIFY_SOURCE -fno-stack-protector \
                -iquote tests/model -Iinclude

$(MODEL_COMMON): build/model/obj/%.o: tests/model/%.c \
                 $(wildcard tests/model/*.h src/bridge/*.h)
	@mkdir -p $(@D)
	$(CC) $(MODEL_FLAGS) -Isrc/bridge -c $< -o $@

$(MODEL_BRIDGE): $(MODEL)/obj/%.o: $(MODEL)/src/%.c \
                 $(wildcard tests/model/*.h src/bridge/*.h)
	@mkdir -p $(@D)
	$(CC) $(MODEL_FLAGS) -I$(MODEL)/src -include tests/model/shim.h \
	    -c $< -o $@

$(MODEL)/model: $(MODEL_COMMON) $(MODEL_BRIDGE)
	$(CC) $^ -o $@


# ---- the loader on the bridge, without nginx, under ThreadSanitizer

build/loader/test_loader: tests/loader/test_loader.c $(PY_C) $(PY_SOURCES) \
                          build/gen/python.cflags build/gen/python.ldflags \
                          $(wildcard src/bridge/* src/loader/*.h include/*.h)
	@mkdir -p $(@D)
	$(CC) $(STRICT) -g $(UNIT_tsan) -pthread -rdynamic -Isrc/bridge \
	    -Iinclude -Ibuild/gen @build/gen/python.cflags $< $(PY_C) \
	    $(wildcard src/bridge/*.c) @build/gen/python.ldflags \
	    -Wl,--wrap=pthread_atfork,--wrap=unshare,--wrap=clone -lcmocka \
	    -lz -ldl -o $@


# ---- the fuzzers in C: tests/fuzz runs them

FUZZ_CC := clang
FUZZERS := build/fuzz/fuzz_handles build/fuzz/fuzz_frames

FUZZ_INC_fuzz_handles := -Isrc/bridge -Iinclude
FUZZ_INC_fuzz_frames  := -Isrc/loader
FUZZ_LIBS_fuzz_frames := -lz

build/fuzz/fuzz_handles: \
    $(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c)) \
    $(wildcard src/bridge/*.c src/bridge/*.h include/*.h)
build/fuzz/fuzz_frames: \
    $(foreach n,frames utf8 deflate,src/loader/$n.c src/loader/$n.h)
$(FUZZERS): build/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(STRICT) -O1 -g -pthread -fsanitize=fuzzer $(ASAN) \
	    $(FUZZ_INC_$*) $(filter %.c,$^) $(FUZZ_LIBS_$*) -o $@

.PHONY: fuzzers
fuzzers: $(FUZZERS)


# ---- the virtual environment: what Python code in nginx sees

VENV        := build/venv
VENV_PYTHON := $(VENV)/bin/python

$(VENV)/base: build/gen/python.cflags
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/runtime $(VENV)/kafka $(VENV)/test $(VENV)/lint: \
$(VENV)/%: requirements/%.txt requirements/runtime.txt requirements/kafka.txt \
           $(VENV)/base
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check \
	    --upgrade -r $<
	@touch $@

.PHONY: venv
venv: $(VENV)/runtime
	@:


# ---- what users call

export PORT CONF APP WATCH PYTHON SKIP_DEPS

.PHONY: deps deps-test
deps:
	@scripts/deps run

deps-test:
	@scripts/deps run test

.PHONY: run
run:
	@+scripts/prepare
	@exec $(VENV_PYTHON) scripts/run.py

.PHONY: test
test:
	@$(MAKE) --no-print-directory deps-test
	@$(PYTHON) scripts/test.py $(SUITES)

.PHONY: soak
soak:
	@$(MAKE) --no-print-directory deps-test
	@$(MAKE) --no-print-directory all $(VENV)/test
	@SOAK_S='$(SOAK_S)' $(VENV_PYTHON) -m tests.soak $(SOAK)

.PHONY: bench bench-streams bench-web bench-kafka bench-compare bench-status
bench: all venv
	@bench/run
	@[ -n "$$BENCH_CELLS$$BENCH_ROWS" ] || bench/run streams
	@[ -n "$$BENCH_CELLS$$BENCH_ROWS" ] || bench/run web
	@[ -n "$$BENCH_CELLS$$BENCH_ROWS" ] || $(MAKE) --no-print-directory \
	    bench-status

bench-streams: all venv
	@exec bench/run streams

bench-web: all venv
	@exec bench/run web

bench-compare: all venv
	@exec $(PYTHON) -m bench.compare '$(OLD)' . $(PAIRS)

bench-status: all
	@mkdir -p $(BUILD_DIR)/bench
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -pthread \
	    $(addprefix -I,include src/bridge src/nginx/core) \
	    $(addprefix -isystem $(BUILD_DIR)/nginx/,objs src/core src/event \
	        src/event/modules src/os/unix) \
	    bench/status.c src/nginx/core/ngx_http_ffi_status_account.c \
	    src/nginx/core/ngx_http_ffi_status_block.c src/bridge/*.c \
	    -o $(BUILD_DIR)/bench/status
	@$(BUILD_DIR)/bench/status

bench-kafka: all venv
	@exec bench/run kafka

.PHONY: install uninstall
install: all
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install install

uninstall:
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install uninstall

.PHONY: lint
lint: all $(VENV)/lint
	scripts/lint

.PHONY: clean
clean:
	rm -rf build
