# SPDX-License-Identifier: MIT
#
# One file, explicit sources. `make help` lists the targets. Every target installs what it needs through
# scripts/setup.sh, which does nothing when it is already there (LLMK_NO_SETUP=1 skips even the look).
#
#   build/efi    objects of the EFI binary: freestanding, baseline x86-64 outside kernels/
#   build/host   the same sources for Linux: llmk, benchmarks
#   build/check  the same with ASan and UBSan: unit tests, kernel checks
#   build/fuzz   the same with clang and libFuzzer

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash

CXX := g++
LD := ld
OBJCOPY := objcopy
VENV := .venv
PY := $(VENV)/bin/python
LLMK_ASSETS ?= ../shared/assets
export LLMK_ASSETS

VERSION := 0.1.0

# `make V=1` shows the commands.
Q := $(if $(V),,@)
say = @$(if $(V),:,echo '  $(1) $@')

# --- sources ----------------------------------------------------------------------------------------------------------

CORE := \
  src/base/checksum.cpp src/base/math.cpp src/base/text.cpp \
  src/mem/file_bytes.cpp src/mem/zones.cpp \
  src/log/ring_log.cpp \
  src/cpu/features.cpp src/cpu/kernels.cpp \
  src/sentinel/sentinel.cpp \
  src/tokenizer/bpe.cpp src/tokenizer/chat_template.cpp src/tokenizer/pretokenize.cpp src/tokenizer/special.cpp \
  src/tokenizer/spm.cpp src/tokenizer/template_families.cpp \
  src/tokenizer/unicode.cpp src/tokenizer/unicode_classes.cpp src/tokenizer/unicode_forms.cpp src/tokenizer/utf8.cpp \
  src/format/file_reader.cpp src/format/formats.cpp src/format/gguf.cpp src/format/gguf_hyperparameters.cpp \
  src/format/gguf_metadata.cpp src/format/gguf_shards.cpp src/format/gguf_tensors.cpp src/format/gguf_vocabulary.cpp \
  src/format/llama2c.cpp src/format/llama2c_tokenizer.cpp src/format/tensor_roles.cpp src/format/tensor_types.cpp \
  src/format/vocabularies.cpp \
  src/model/archs.cpp src/model/attention.cpp src/model/decoder.cpp src/model/decoder_check.cpp \
  src/model/decoder_forward.cpp src/model/gemma2.cpp src/model/gemma3.cpp src/model/gpt2.cpp src/model/kv_cache.cpp \
  src/model/llama.cpp src/model/loader.cpp \
  src/model/ops.cpp src/model/panels.cpp src/model/phi3.cpp src/model/qwen2.cpp src/model/qwen3.cpp src/model/rope.cpp \
  src/model/tokenizers.cpp src/model/weight_checks.cpp src/model/weights.cpp \
  src/engine/calibration.cpp src/engine/chat.cpp src/engine/chat_prompt.cpp src/engine/engine.cpp \
  src/engine/lookup.cpp src/engine/sampler.cpp src/engine/session.cpp \
  src/engine/stop_filter.cpp src/engine/templates.cpp src/engine/transcript.cpp

APP := \
  src/repl/cmd_sampling.cpp src/repl/cmd_session.cpp src/repl/cmd_system.cpp src/repl/cmd_tools.cpp \
  src/repl/commands.cpp src/repl/completion.cpp src/repl/history.cpp src/repl/keys.cpp src/repl/line_editor.cpp \
  src/repl/line_view.cpp src/repl/multiline.cpp src/repl/repl.cpp src/repl/report.cpp src/repl/tool_args.cpp \
  src/repl/tool_bench.cpp src/repl/tool_generate.cpp src/repl/tool_info.cpp src/repl/tool_read.cpp src/repl/tool_render.cpp \
  src/boot/app.cpp src/boot/candidates.cpp src/boot/config.cpp src/boot/demos.cpp src/boot/load_bar.cpp src/boot/menu.cpp \
  src/boot/menu_view.cpp

KERNELS_scalar := kernels/scalar/activations.cpp kernels/scalar/attention.cpp kernels/scalar/dequantize.cpp \
  kernels/scalar/elementary.cpp kernels/scalar/half.cpp kernels/scalar/pack.cpp kernels/scalar/panels.cpp kernels/scalar/scalar.cpp
KERNELS_sse2 := kernels/sse2/activations.cpp kernels/sse2/attention.cpp \
  kernels/sse2/dequantize.cpp kernels/sse2/gemm.cpp kernels/sse2/half.cpp \
  kernels/sse2/panels.cpp kernels/sse2/q8.cpp kernels/sse2/sse2.cpp
KERNELS_avx2 := kernels/avx2/activations.cpp kernels/avx2/attention.cpp \
  kernels/avx2/avx2.cpp kernels/avx2/dequantize.cpp kernels/avx2/gemm.cpp \
  kernels/avx2/half.cpp kernels/avx2/panels.cpp kernels/avx2/q8.cpp \
  kernels/avx2/turned.cpp
KERNELS_avx_vnni := kernels/avx_vnni/panels.cpp
KERNELS_avx512 := kernels/avx512/activations.cpp kernels/avx512/attention.cpp kernels/avx512/avx512.cpp kernels/avx512/gemm.cpp \
  kernels/avx512/half.cpp kernels/avx512/panels.cpp kernels/avx512/turned.cpp
KERNELS_avx512_vnni := kernels/avx512_vnni/panels.cpp
KERNELS_amx_int8 := kernels/amx_int8/panels.cpp
KERNELS_amx_bf16 := kernels/amx_bf16/panels.cpp
KERNEL_SETS := scalar sse2 avx2 avx_vnni avx512 avx512_vnni amx_int8 amx_bf16
KERNELS := $(foreach s,$(KERNEL_SETS),$(KERNELS_$(s)))

EFI_ONLY := $(addprefix src/platform/uefi/, \
  acpi_timer.cpp clock.cpp console.cpp devices.cpp entry.cpp file_info.cpp file_io.cpp keyboard.cpp memory.cpp \
  memory_functions.cpp probe_mark.cpp processor_self.cpp processor_states.cpp processor_trial.cpp processors.cpp \
  runtime.cpp sbat.cpp stack.cpp throw_stubs.cpp uefi_platform.cpp unicode.cpp volumes.cpp)
EFI_ASM := src/platform/uefi/crt0.S src/platform/uefi/worker_entry.S

HOST_ONLY := \
  src/platform/host/host_platform.cpp src/platform/host/host_console.cpp src/platform/host/workers.cpp
HOST_MAIN := src/platform/host/main.cpp

# --- flags ------------------------------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wundef -Wcast-align -Wvla -Wmissing-declarations -Werror
# No exceptions, no RTTI: nothing on bare metal could unwind. No thread-safe statics: there are no static objects.
# FP contraction off: a*b+c is two roundings everywhere but in kernels that say FMA, so that scalar is the oracle.
COMMON := -std=c++20 -O2 -g -fno-exceptions -fno-rtti -fno-threadsafe-statics -ffp-contract=off -fno-math-errno \
  -Iinclude -Isrc -I. -DLLMK_VERSION='"$(VERSION)"' $(WARN) -MMD -MP
# Freestanding: no libc behind us. Red zone off: interrupts use our stack. Hidden and PIC: only RELATIVE relocations.
# Large frames are errors: firmware gives processors 32 KiB of stack. Kernels run on stacks of ours.
EFI_FLAGS = $(COMMON) -ffreestanding -mno-red-zone -fpic -fvisibility=hidden -fno-stack-protector -fcf-protection=none \
  -fno-asynchronous-unwind-tables -Wframe-larger-than=$(FRAME_BYTES) -DGNU_EFI_USE_MS_ABI -fshort-wchar -D_MM_MALLOC_H_INCLUDED
# Short wchar: newer gnu-efi's CHAR16 is wchar_t. No mm_malloc.h: GCC 13's <immintrin.h> brings it in, and it wants malloc.
# gnu-efi's headers are C and not ours: no warnings from them.
EFI_INCLUDES := -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
HOST_FLAGS := $(COMMON) -pthread
# efisim talks to the EFI binary, so it sees the firmware's types as that does.
EFISIM_FLAGS := $(EFI_INCLUDES) -DGNU_EFI_USE_MS_ABI -fshort-wchar
test_flags = $(if $(findstring tests/,$(1)),-Itests) $(if $(findstring tests/efisim/,$(1)),$(EFISIM_FLAGS))
# Where variables are at each instruction takes half of the time that panels take to compile with sanitizers.
CHECK_FLAGS := $(COMMON) -pthread -O1 -fno-var-tracking-assignments -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Itests

# Scalar stays scalar: it is what the others are measured and checked against.
ISA_scalar := -O2 -fno-tree-vectorize -fno-tree-slp-vectorize
ISA_sse2 := -O3 -msse2
ISA_avx2 := -O3 -mavx2 -mfma -mf16c
ISA_avx_vnni := $(ISA_avx2) -mavxvnni
# GCC prefers half of a 512-bit vector unless told. Its own intrinsics leave lanes undefined by using what is
# uninitialized (GCC bug 105593), so that warning is off here.
ISA_avx512 := -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512 \
  -Wno-uninitialized -Wno-maybe-uninitialized
ISA_avx512_vnni := $(ISA_avx512) -mavx512vnni
# Instructions on tiles are assembly: compilers know nothing of the tiles' contents anyway.
ISA_amx_int8 := $(ISA_avx512_vnni)
ISA_amx_bf16 := $(ISA_avx512_vnni) -mavx512bf16
isa_flags = $(foreach s,$(KERNEL_SETS),$(if $(findstring kernels/$(s)/,$(1)),$(ISA_$(s))))

# --- targets ----------------------------------------------------------------------------------------------------------

.PHONY: all help host image run try test lint bench fuzz parity clean tests

all: build/BOOTX64.EFI ## the EFI binary

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/  make \1\t/' | expand -t 18

# Order-only: it runs first, and makes nothing out of date.
setup-%:
	@$(if $(LLMK_NO_SETUP),:,bash scripts/setup.sh $*)

host: build/host/llmk ## the host tool build/host/llmk

image: build/llmk.img ## a GPT + FAT32 image with the binary and the models (MODELS="a.bin b.bin")

run: build/llmk.img | setup-qemu ## boot the image in QEMU, in this terminal (RUN_FLAGS="--smp 2 ...")
	$(PY) scripts/run_qemu.py --image build/llmk.img $(RUN_FLAGS)

try: build/BOOTX64.EFI build/tests/efisim | setup-image ## the binary itself as a process, at full speed, in this terminal (TRY_FLAGS="-- --processors 2 ...")
	@$(PY) scripts/run_efisim.py $(if $(MODELS),--models $(MODELS)) $(TRY_FLAGS)

test: | setup-build setup-test ## every check that needs no special hardware
	@$(MAKE) --no-print-directory -j2 tests
	$(PY) scripts/run_tests.py

lint: | setup-build setup-lint ## formatting, clang-tidy, layers, ruff, mypy
	$(PY) scripts/lint.py

# What scripts/bench.py takes: sections and options, as in BENCH="decode prefill --quick".
BENCH ?=
bench: | setup-build setup-bench ## speed beside the machine's limits (BENCH="decode --quick", LLAMA2C=PROGRAM)
	@$(MAKE) --no-print-directory -j2 build/host/llmk build/BOOTX64.EFI build/tests/bench build/tests/efisim \
	  build/tests/roofline build/tests/plain-sse2 build/tests/plain-avx2
	$(PY) scripts/bench.py $(BENCH)

.PHONY: peers
peers: | setup-build setup-peers ## llama.cpp and ik_llama.cpp for `make bench` to compare with (a quarter of an hour)
	$(PY) scripts/build_llama_cpp.py

# Seconds for each fuzzer.
FUZZ_SECONDS ?= 30
fuzz: | setup-build setup-clang setup-fuzz ## libFuzzer on every parser, FUZZ_SECONDS each (default 30)
	@$(MAKE) --no-print-directory -j2 $(FUZZERS)
	@set -e; for f in $(FUZZERS); do mkdir -p build/fuzz/corpus/$$(basename $$f); echo "--- $$f"; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=65536 -print_final_stats=0 -verbosity=0 \
	  -artifact_prefix=build/fuzz/ build/fuzz/corpus/$$(basename $$f) $(wildcard tests/golden/data) \
	  $$(ls -d tests/fuzz/corpus/$$(basename $$f | sed s/fuzz_//) 2>/dev/null); done

parity: | setup-parity host ## make the fixtures of the architectures anew with transformers, and compare
	.venv-parity/bin/python scripts/reference/make_arch_fixtures.py --check

clean: ## remove build/
	rm -rf build

tests: build/BOOTX64.EFI build/host/llmk build/tests/unit build/tests/check build/tests/check_modelled \
  build/check/llmk build/modelled/llmk build/tests/efisim

# --- compiling --------------------------------------------------------------------------------------------------------

objects = $(patsubst %.cpp,build/$(1)/%.o,$(filter %.cpp,$(2))) $(patsubst %.S,build/$(1)/%.o,$(filter %.S,$(2)))

FRAME_BYTES := 12288
build/efi/kernels/%.o: FRAME_BYTES := 57344

build/efi/%.o: %.cpp | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) $(EFI_FLAGS) $(call isa_flags,$<) $(if $(findstring platform/uefi,$<),$(EFI_INCLUDES)) -c $< -o $@

build/efi/%.o: %.S | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) -Isrc -g -MMD -MP -c $< -o $@

build/host/%.o: %.cpp | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) $(HOST_FLAGS) $(call isa_flags,$<) $(call test_flags,$<) -c $< -o $@

build/host/%.o: %.S | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) -Isrc -g -MMD -MP -c $< -o $@

build/check/%.o: %.cpp | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) $(CHECK_FLAGS) $(call isa_flags,$<) -c $< -o $@

# --- the EFI binary ---------------------------------------------------------------------------------------------------

EFI_OBJECTS := $(call objects,efi,$(EFI_ASM) $(EFI_ONLY) $(CORE) $(APP) $(KERNELS))
# Those of llmk.lds but for the linker's own; scripts/pe_lint.py fails on one that is missing here.
EFI_SECTIONS := .text .rodata .sbat .rela .data .bss .reloc

# -z defs: a missing function must not link silently.
build/efi/llmk.so: src/platform/uefi/llmk.lds $(EFI_OBJECTS)
	$(call say,LD  )
	$(Q)$(LD) -nostdlib -shared -Bsymbolic -z defs -z noexecstack --fatal-warnings -T $< $(EFI_OBJECTS) -o $@

build/BOOTX64.EFI: build/efi/llmk.so scripts/pe_finish.py scripts/pe_lint.py | setup-build
	$(call say,PE  )
	$(Q)$(OBJCOPY) $(addprefix -j ,$(EFI_SECTIONS)) --strip-all --section-alignment 4096 --file-alignment 512 \
	  --target efi-app-x86_64 --subsystem 10 $< $@.tmp
	$(Q)python3 scripts/pe_finish.py $@.tmp
	$(Q)python3 scripts/pe_lint.py $@.tmp --elf $<
	$(Q)mv $@.tmp $@

# --- host -------------------------------------------------------------------------------------------------------------

LIB_SOURCES := $(CORE) $(APP) $(KERNELS) $(HOST_ONLY)

build/host/llmk: $(call objects,host,$(LIB_SOURCES) $(HOST_MAIN))
	$(call say,LINK)
	$(Q)$(CXX) -pthread $^ -o $@

build/check/llmk: $(call objects,check,$(LIB_SOURCES) $(HOST_MAIN))
	$(call say,LINK)
	$(Q)$(CXX) -pthread -fsanitize=address,undefined $^ -o $@

# --- tests ------------------------------------------------------------------------------------------------------------

FAKE := $(sort $(wildcard tests/fake/*.cpp))
# The one file of the UEFI platform that knows no firmware.
UNIT := $(sort $(wildcard tests/unit/*/*.cpp)) $(FAKE) src/platform/uefi/unicode.cpp
CHECK := $(sort $(wildcard tests/check/*.cpp tests/check/kernels/*/*.cpp))
KERNEL_BENCH := $(sort $(wildcard tests/bench/*.cpp))

build/tests/unit: $(call objects,check,$(LIB_SOURCES) $(UNIT))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread -fsanitize=address,undefined $^ -lgtest -lgtest_main -o $@

build/tests/check: $(call objects,check,$(LIB_SOURCES) $(CHECK))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread -fsanitize=address,undefined $^ -lgtest -lgtest_main -o $@

# The checks once more, with the sets of AVX-512 in SIMDe's instructions, which need SSE2; AVX2 is their neighbours'.
MODELLED := $(filter kernels/avx512/% kernels/avx512_vnni/% tests/check/kernels/amx_int8/%,$(KERNELS) $(CHECK))

build/modelled/%.o: %.cpp | setup-build
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)$(CXX) $(COMMON) -pthread -O1 -g0 -w -Itests -Itests/modelled/include -c $< -o $@

build/tests/check_modelled: $(call objects,check,$(filter-out $(MODELLED),$(LIB_SOURCES) $(CHECK)) tests/modelled/features.cpp) \
  $(call objects,modelled,$(MODELLED))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread -fsanitize=address,undefined -Wl,--wrap=_ZN4llmk10detect_cpuEv $^ -lgtest -lgtest_main -o $@

# The host tool with them, for the golden tests.
build/modelled/llmk: $(call objects,host,$(filter-out $(MODELLED),$(LIB_SOURCES) $(HOST_MAIN)) tests/modelled/features.cpp) \
  $(call objects,modelled,$(filter $(KERNELS),$(MODELLED)))
	$(call say,LINK)
	$(Q)$(CXX) -pthread -Wl,--wrap=_ZN4llmk10detect_cpuEv $^ -o $@

build/tests/bench: $(call objects,host,$(LIB_SOURCES) $(KERNEL_BENCH))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $^ -lbenchmark -o $@

# The firmware as a process: runs build/BOOTX64.EFI itself.
EFISIM := $(sort $(wildcard tests/efisim/*.cpp)) src/platform/uefi/worker_entry.S src/platform/uefi/unicode.cpp \
  src/base/text.cpp src/tokenizer/utf8.cpp

build/tests/efisim: $(call objects,host,$(EFISIM))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -pthread $^ -o $@

# What a compiler makes of plain loops: the peer of `make bench`.
build/tests/plain-%: tests/bench/peer/plain_llama.cpp
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -std=c++20 -Ofast $(filter -m%,$(ISA_$*)) $(WARN) $< -o $@

# The limits that `make bench` holds speeds against. Its functions name the instructions they are for.
build/tests/roofline: tests/bench/roofline/roofline.cpp
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CXX) -std=c++20 -O2 -pthread $(WARN) $< -o $@

# Fuzzers: the same sources once more, with clang.
FUZZERS := $(patsubst tests/fuzz/%.cpp,build/fuzz/%,$(sort $(wildcard tests/fuzz/*.cpp)))
FUZZ_FLAGS := $(filter-out -Werror -Wall -Wextra,$(COMMON)) -w -pthread -fsanitize=address,undefined \
  -fno-sanitize-recover=all -Itests

build/fuzz/obj/%.o: %.cpp
	@mkdir -p $(@D)
	$(call say,CXX )
	$(Q)clang++ $(FUZZ_FLAGS) $(if $(findstring kernels/,$<),,-fsanitize=fuzzer-no-link) $(call isa_flags,$<) -c $< -o $@

build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o $(patsubst %.cpp,build/fuzz/obj/%.o,$(LIB_SOURCES) $(FAKE))
	$(call say,LINK)
	$(Q)clang++ -pthread -fsanitize=address,undefined,fuzzer $^ -lgtest -o $@

# --- image ------------------------------------------------------------------------------------------------------------

# What goes on the image: MODELS when given; else what is in models/; else the small model of the assets folder.
# A name that does not exist is left out with a word by the script, so it must not stop make.
build/llmk.img: build/BOOTX64.EFI $(addprefix scripts/,make_image.py image_models.py split_gguf.py fat_image.py) \
  build/models.list \
  $(wildcard $(or $(MODELS),models/*.bin models/*.gguf)) | setup-image
	$(Q)$(PY) scripts/make_image.py --efi $< --output $@ $(if $(MODELS),--models $(MODELS),--default-models)

# Changes only when the list does.
build/models.list: FORCE
	@mkdir -p $(@D)
	@echo '$(MODELS) : $(wildcard models/*) : $(LLMK_ASSETS)' | cmp -s - $@ || echo '$(MODELS) : $(wildcard models/*) : $(LLMK_ASSETS)' > $@
FORCE:

-include $(shell find build -name '*.d' 2>/dev/null)
